"""Sends spans on to where engineers look at them, once the ledger has their charges."""
