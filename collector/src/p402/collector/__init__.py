"""The service: takes spans in, prices them, keeps the ledger, seals receipts, anchors them. Start at `wiring`."""
