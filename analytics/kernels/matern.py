"""Matérn correlations of half-integer smoothness, from squared distance.

With s = sqrt(2 nu) / ell and r = s d (Rasmussen & Williams 2006, eq. 4.16-4.17):

    nu = 1/2   exp(-r)
    nu = 3/2   (1 + r) exp(-r)
    nu = 5/2   (1 + r + r^2 / 3) exp(-r)

Smoothness travels as the whole number 2 nu: 1, 3 or 5. r is cut at 80, where the correlation is 1e-33.
"""

from typing import Any

import numpy as np

from analytics.kernels.approximations import exponential
from analytics.kernels.blocks import PAD
from analytics.kernels.jit import cell_kernel, kernel


@cell_kernel()
def correlations(
    two_nu: Any, scale: Any, easting: Any, northing: Any, east: Any, north: Any, a: Any, b: Any, out: Any
) -> None:
    """Write the correlation of the point (east, north) with points a to b, a multiple of PAD apart, into out[a:b].

    scale is sqrt(2 nu) / ell in 1/m; all coordinates in metres from one local origin; precision is that of the arrays.
    """
    for block in range(a, b, PAD):
        part = slice(block, block + PAD)
        _vector(two_nu, scale, easting[part], northing[part], east, north, out[part])


@kernel()
def _vector(two_nu: Any, scale: Any, easting: Any, northing: Any, east: Any, north: Any, out: Any) -> None:
    """Write PAD correlations: views and a length that is known let the compiler fill whole vectors (5 times faster)."""
    real = out.dtype.type
    limit = real(80)
    one = real(1)
    third = real(1 / 3)
    if two_nu == 1:
        for j in range(PAD):
            r = _reduced(scale, easting[j] - east, northing[j] - north, limit)
            out[j] = exponential(-r)
    elif two_nu == 3:
        for j in range(PAD):
            r = _reduced(scale, easting[j] - east, northing[j] - north, limit)
            out[j] = (one + r) * exponential(-r)
    else:
        for j in range(PAD):
            r = _reduced(scale, easting[j] - east, northing[j] - north, limit)
            out[j] = (one + r + r * r * third) * exponential(-r)


@kernel()
def _reduced(scale: Any, d_east: Any, d_north: Any, limit: Any) -> Any:
    return min(np.sqrt(d_east * d_east + d_north * d_north) * scale, limit)
