"""Personal data: the vault's keys, pseudonyms, legal holds, and how long things are kept."""
