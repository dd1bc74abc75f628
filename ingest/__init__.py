"""Keeps every reading once, durably, and says which to trust."""
