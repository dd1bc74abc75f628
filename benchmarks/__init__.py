"""Repeatable measurements; none is a test, and ratios are taken in interleaved runs."""
