"""Other people's programs that answer the same question, in a place of their own: `make peers`."""
