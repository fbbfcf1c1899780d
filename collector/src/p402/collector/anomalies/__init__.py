"""Sessions that cost far more than they use to: found within seconds, put before a person, never blocked."""
