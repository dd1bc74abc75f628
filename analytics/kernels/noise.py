"""Sound energy spread from sources to cells: levels are only ever added as energy.

A source of sound power level L_W over reflecting ground spreads over a hemisphere (ISO 9613-2:1996, eq. 3 with D = 3):

    L(r) = L_W - 10 lg(2 pi r^2),     energy 10^(L/10) = 10^(L_W/10) / (2 pi r^2)

r^2 is softened by the square of a near distance, since nobody stands inside a source.
"""

from typing import Any

import numpy as np

from analytics.kernels.jit import cell_kernel


@cell_kernel()
def spread_energy(
    first: Any,
    last: Any,
    cell: Any,
    west: Any,
    south: Any,
    cutoff: Any,
    near2: Any,
    east: Any,
    north: Any,
    power: Any,
    out: Any,
) -> None:
    """Add to rows of `out` (energy, 1 = 0 dB) what the sources send there.

    Sources sorted by northing, (n,) f8 metres; power : (n,) f8, 10^(L_W/10); near2 in metres squared.
    """
    columns = out.shape[1]
    step = np.float32(cell)
    begin = np.searchsorted(north, south + first * cell - cutoff)
    end = np.searchsorted(north, south + (last - 1) * cell + cutoff, side="right")
    for k in range(begin, end):
        p = np.float32(power[k] / (2.0 * np.pi))
        r0 = max(int(np.ceil((north[k] - cutoff - south) / cell)), first)
        r1 = min(int(np.floor((north[k] + cutoff - south) / cell)) + 1, last)
        for row in range(r0, r1):
            d_north = south + row * cell - north[k]
            reach = np.sqrt(max(cutoff * cutoff - d_north * d_north, 0.0))
            c0 = max(int(np.ceil((east[k] - reach - west) / cell)), 0)
            c1 = min(int(np.floor((east[k] + reach - west) / cell)) + 1, columns)
            rest = np.float32(d_north * d_north + near2)
            offset = np.float32(west + c0 * cell - east[k])
            line = out[row, c0 : max(c0, c1)]
            for j in range(line.size):
                d_east = offset + np.float32(np.int32(j)) * step
                line[j] += p / (d_east * d_east + rest)


@cell_kernel()
def spread_cells(first: Any, last: Any, stencil: Any, power: Any, factor: Any, out: Any) -> None:
    """Add to rows of `out` what every cell's `power` sends there times the receiving cell's `factor`, unless empty.

    stencil : (2 k + 1, 2 k + 1) f4, 1 / (2 pi r^2); factor : (rows, columns) f4, or of no rows
    """
    rows, columns = out.shape
    k = stencil.shape[0] // 2
    heard = np.zeros(columns, np.float32)
    for row in range(first, last):
        for c in range(columns):  # loops: numba takes two seconds more to compile whole rows
            heard[c] = np.float32(0)
        for i in range(-k, k + 1):
            r = row + i
            if r < 0 or r >= rows:
                continue
            for j in range(-k, k + 1):
                weight = stencil[i + k, j + k]
                if weight == 0:
                    continue
                line = heard[max(0, -j) : min(columns, columns - j)]
                sent = power[r, max(0, j) : min(columns, columns + j)]
                for c in range(line.size):
                    line[c] += weight * sent[c]
        screened = factor.shape[0] > 0
        for c in range(columns):
            out[row, c] += heard[c] * factor[row, c] if screened else heard[c]
