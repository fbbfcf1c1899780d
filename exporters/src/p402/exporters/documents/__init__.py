"""Documents: what people, spreadsheets, auditors and other systems take away. All of it pure: values in, bytes out."""
