"""Sessions: which charges belong together, when a session is over, and its receipt."""
