"""What `p402 demo` is made of: providers that only pretend, and an organisation that does not exist."""
