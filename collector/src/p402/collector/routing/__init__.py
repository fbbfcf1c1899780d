"""Routing: the catalogue of models, and the policies of departments."""
