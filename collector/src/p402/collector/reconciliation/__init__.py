"""Providers' invoices beside the ledger: what they say differently, and why."""
