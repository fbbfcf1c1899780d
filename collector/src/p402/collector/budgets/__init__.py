"""Budgets: caps at any level of the tree, the periods they count, and what of them is left (pure)."""
