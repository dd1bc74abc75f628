"""Turns a night of readings and answers into fields."""
