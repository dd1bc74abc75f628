"""The numbers' own room: loops over cells and the formulas in them. Plain arrays in, plain arrays filled.

Nothing here knows of cities, sensors or fields; nothing outside imports numba.
"""
