"""The HTTP API: one way in for each thing, one shape for every error."""
