"""A pretend city of honest, faulty devices with a known truth; it shares nothing but the wire."""
