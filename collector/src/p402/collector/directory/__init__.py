"""People and departments: the documents that they are imported from, and what these say (pure)."""
