"""Exports: what is taken away, made in the background, part by part, so that a restart goes on where it was."""
