"""Loops over plain arrays, compiled; kernels know only numbers."""
