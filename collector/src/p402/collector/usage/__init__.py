"""What was used, day by day: a roll-up of the charges by everything that people ask for together."""
