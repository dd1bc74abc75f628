"""Random numbers by name: every part of the pretend city draws from a stream of its own.

A stream depends on the seed, its name and the night alone. So nothing that one part draws can shift what another
draws, any night can be made without those before it, and the same seed gives the same city on every machine.
"""

from __future__ import annotations

import zlib
from datetime import date

import numpy as np
import numpy.typing as npt


def stream(seed: int, name: str, night: date | None = None) -> np.random.Generator:
    """The generator of one part of the city, for one night or (None) for all time."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), 0 if night is None else night.toordinal()])


def wander(
    generator: np.random.Generator, rows: int, steps: int, sd: float, time_constant_steps: float
) -> npt.NDArray[np.float64]:
    """Stationary Ornstein-Uhlenbeck paths sampled at whole steps, shape (rows, steps).

    x[t] = a x[t-1] + sd sqrt(1 - a^2) e[t] with a = exp(-1 / time constant) (Uhlenbeck and Ornstein 1930, exact
    discretisation), so that the variance is `sd`^2 at every step.
    """
    a = float(np.exp(-1.0 / time_constant_steps))
    shocks = generator.standard_normal((rows, steps)) * sd * np.sqrt(1.0 - a * a)
    shocks[:, 0] = generator.standard_normal(rows) * sd
    for step in range(1, steps):  # some hundred steps: quicker than loading scipy.signal
        shocks[:, step] += a * shocks[:, step - 1]
    return np.asarray(shocks, np.float64)
