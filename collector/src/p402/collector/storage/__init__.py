"""What is kept: the ledger, the sessions, the logs, the settlements, the keys. Implements the ports of the other parts."""
