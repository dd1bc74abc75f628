"""Shows released fields to three kinds of people."""
