"""Luminaires' distributions as arrays: exact as their files say, and packed for the raster.

The exact ones serve single points and planes. The packed ones are turned to the ground's own directions (tilt
included) and looked up by the diamond angles of `kernels/footprint.py`; an entry holds the four corners of one cell
of the table as 65,535ths of the peak, lowest bits first: (C, gamma), (C, next gamma), (next C, gamma), (both next).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analytics.kernels import footprint as kernels
from analytics.kernels.jit import over_rows
from analytics.kernels.light import Distributions
from sensors.luminaire import Luminaire

_COUNTS = 65_535.0


def distributions_of(luminaires: Sequence[Luminaire]) -> Distributions:
    """Tables one after the other; `luminaires` face the street with C = 0."""
    azimuths = [np.append(one.c_deg, one.c_deg[0] + 360.0) for one in luminaires]
    gammas = [np.asarray(one.gamma_deg, np.float64) for one in luminaires]
    tables = [np.vstack([one.candela, one.candela[:1]]).ravel() for one in luminaires]
    return Distributions(
        _joined(azimuths), _joined(gammas), _joined(tables), _starts(azimuths), _starts(gammas), _starts(tables)
    )


def packed(distributions: Distributions, luminaire: int, tilt: float) -> tuple[NDArray[np.uint64], float]:
    """A luminaire tilted up by `tilt` radians as a table for the raster, and the candela of one count."""
    nodes = np.empty((kernels.AZIMUTHS + 1, kernels.RADII + 1))
    over_rows(kernels.world_table, len(nodes), distributions, luminaire, np.cos(tilt), np.sin(tilt), nodes)
    one = max(float(nodes.max()), 1e-9) / _COUNTS
    counts = np.rint(np.clip(nodes / one, 0.0, _COUNTS)).astype(np.uint64)
    counts = np.vstack([counts, counts[1:2]])  # the node after the last is the second: the first stands twice
    corners = (counts[:-1, :-1], counts[:-1, 1:], counts[1:, :-1], counts[1:, 1:])
    table = np.zeros(corners[0].shape, np.uint64)
    for number, corner in enumerate(corners):
        table |= corner << np.uint64(16 * number)
    return table.ravel(), one


def _joined(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate([np.zeros(0), *parts]).astype(np.float64)


def _starts(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.int64]:
    return np.cumsum([0, *(part.size for part in parts)]).astype(np.int64)
