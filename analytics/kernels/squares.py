"""Means over the cells of squares: sums in the order of the grid, of several arrays in one pass over memory."""

from typing import Any

import numpy as np

from analytics.kernels.jit import cell_kernel


@cell_kernel()
def square_means(
    first: Any, last: Any, rows: Any, columns: Any, where: Any, one: Any, two: Any, three: Any, load: Any, out: Any
) -> None:
    """Fill means of what stands in the cells of each square, in rows of squares first to last; NaN without any cell.

    rows, columns : (squares + 1,) i8, where squares begin on the grid, and its end
    where : (northing, easting) i4, row of each cell in the arrays, -1 where it does not count
    one, two, three : (n, a), (n, b), (n, c) f4; load : (a,) f4 of a sum over `one`
    out : (rows of squares, columns of squares, a + b + c + 2) f4: their means, the sum's mean and that of its square
    """
    a, b, c = one.shape[1], two.shape[1], three.shape[1]
    total = np.empty(a + b + c + 2)
    for r in range(first, last):
        for s in range(columns.size - 1):
            total[:] = 0.0
            count = 0
            for i in range(rows[r], rows[r + 1]):
                for j in range(columns[s], columns[s + 1]):
                    cell = where[i, j]
                    if cell < 0:
                        continue
                    count += 1
                    level = 0.0
                    for k in range(a):
                        total[k] += one[cell, k]
                        level += load[k] * one[cell, k]
                    for k in range(b):
                        total[a + k] += two[cell, k]
                    for k in range(c):
                        total[a + b + k] += three[cell, k]
                    total[a + b + c] += level
                    total[a + b + c + 1] += level * level
            for k in range(total.size):
                out[r, s, k] = total[k] / count if count else np.nan
