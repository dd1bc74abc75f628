"""What holds for every test."""

from hypothesis import settings

# A noisy two-core machine stalls for longer than any example takes; laws are about values, benchmarks about time.
settings.register_profile("laws", deadline=None)
settings.load_profile("laws")
