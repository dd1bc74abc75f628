"""How much of something lies around each cell: a sum weighted by the quartic kernel (1 - d^2 / R^2)^2 for d < R."""

from typing import Any

import numpy as np

from analytics.kernels.jit import cell_kernel


@cell_kernel()
def quartic_sum(
    first: Any, last: Any, cell: Any, west: Any, south: Any, radius: Any, east: Any, north: Any, weight: Any, out: Any
) -> None:
    """Fill rows of `out` with the kernel-weighted sum of points; points sorted by northing, (n,) f8 metres."""
    columns = out.shape[1]
    inverse = np.float32(1.0 / (radius * radius))
    step = np.float32(cell)
    one, zero = np.float32(1), np.float32(0)
    for row in range(first, last):
        for c in range(columns):
            out[row, c] = zero
    begin = np.searchsorted(north, south + first * cell - radius)
    end = np.searchsorted(north, south + (last - 1) * cell + radius, side="right")
    for k in range(begin, end):
        w = np.float32(weight[k])
        r0 = max(int(np.ceil((north[k] - radius - south) / cell)), first)
        r1 = min(int(np.floor((north[k] + radius - south) / cell)) + 1, last)
        for row in range(r0, r1):
            d_north = south + row * cell - north[k]
            reach = np.sqrt(max(radius * radius - d_north * d_north, 0.0))
            c0 = max(int(np.ceil((east[k] - reach - west) / cell)), 0)
            c1 = min(int(np.floor((east[k] + reach - west) / cell)) + 1, columns)
            rest = one - np.float32(d_north * d_north) * inverse
            offset = np.float32(west + c0 * cell - east[k])
            line = out[row, c0 : max(c0, c1)]
            for j in range(line.size):
                d_east = offset + np.float32(np.int32(j)) * step
                q = max(rest - d_east * d_east * inverse, zero)
                line[j] += w * q * q
