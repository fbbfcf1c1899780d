"""Where spend is heading: what a node of the tree will have spent when a period ends, and when it reaches a cap."""
