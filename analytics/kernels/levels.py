"""Energy of long series of levels in one pass: 10^(L/10) summed where a second is valid, and how many were.

    LAeq = 10 lg( sum 10^(L/10) / n )

10^(L/10) = 2^n 2^f: n is read off the bits of a sum with 1.5 * 2^23, whose last bit is worth one; 2^f on [-1/2, 1/2] by
a minimax polynomial of degree 4 (relative error 3e-6, 1.1e-5 dB). Sums run in float32 over blocks and in float64 over
the blocks, so nights and years lose nothing. What is not finite spoils the sum of its block, which is then taken again
second by second from the cache: a series without gaps never asks whether a second is valid.
"""

from typing import Any

import numpy as np

from analytics.kernels.approximations import bits_of_float, float_of_bits
from analytics.kernels.jit import cell_kernel, kernel

f4 = np.float32
i4 = np.int32
_BLOCK = 3600
_LOUDEST = f4(300.0)  # beyond it nothing is a level; keeps 2^n within float32


@kernel()
def energy_of(level: Any) -> Any:
    """10^(L/10) of a level in dB within [-300, 300], float32; NaN stays NaN."""
    t = level * f4(0.33219280948873623)  # log2(10) / 10
    bits = bits_of_float(t + f4(12582912.0))
    f = t - f4(i4(bits - i4(0x4B400000)))
    p = f4(0.009570101434048909)
    p = p * f + f4(0.05591786028196814)
    p = p * f + f4(0.24024744839646098)
    p = p * f + f4(0.6931218147436672)
    p = p * f + f4(0.9999992614421657)
    return p * float_of_bits(i4(i4(bits << i4(23)) + i4(0x3F800000)))


@kernel()
def _valid_energy(part: Any) -> Any:
    """Energy of the seconds that are levels, and how many are."""
    energy = f4(0)
    count = i4(0)
    for k in range(part.size):
        ok = abs(part[k]) <= _LOUDEST
        energy += energy_of(part[k] if ok else f4(0)) if ok else f4(0)
        count = i4(count + (i4(1) if ok else i4(0)))
    return energy, count


@cell_kernel()
def sum_energy(first: Any, last: Any, level: Any, energy: Any, valid: Any) -> None:
    """Sums over rows of `level`; what is not finite is not valid.

    level : (rows, seconds) f4, dB; energy : (rows,) f8; valid : (rows,) i8, seconds that count
    """
    n = level.shape[1]
    for row in range(first, last):
        total = 0.0
        count = 0
        for begin in range(0, n, _BLOCK):
            part = level[row, begin : min(begin + _BLOCK, n)]
            block = f4(0)
            for k in range(part.size):
                block += energy_of(part[k])
            heard = part.size
            if not abs(block) <= f4(1e34):  # a NaN or an infinity is among them
                block, counted = _valid_energy(part)
                heard = np.int64(counted)
            total += np.float64(block)
            count += heard
        energy[row] = total
        valid[row] = count
