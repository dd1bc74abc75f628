"""How much passes along each edge of a network when everybody takes the shortest way (Brandes 2001, weighted pairs).

One source after the other: its nodes are walked back from the farthest, each handing what ends at it and what came
through it to the node before it on the shortest way.
"""

from typing import Any

import numpy as np

from analytics.kernels.jit import cell_kernel


@cell_kernel()
def pass_along(
    first: Any, last: Any, order: Any, distance: Any, before: Any, leaving: Any, arriving: Any,
    start: Any, neighbour: Any, edge: Any, out: Any
) -> None:  # fmt: skip
    """Add to `out` (edges,) what passes from sources first to last; not to be shared among threads.

    order, distance, before : (sources, nodes) nodes by distance, infinite out of reach, node before on the way or
    below 0; leaving : (sources,) weight; arriving : (nodes,) weight; neighbours of node i and the edges to them are
    neighbour, edge [start[i] : start[i + 1]]
    """
    nodes = order.shape[1]
    through = np.zeros(nodes)
    for s in range(first, last):
        for i in range(nodes):
            through[i] = 0.0
        for q in range(nodes - 1, 0, -1):
            node = order[s, q]
            if not np.isfinite(distance[s, node]):
                continue
            previous = before[s, node]
            if previous < 0:
                continue
            passes = through[node] + arriving[node]
            through[previous] += passes
            for k in range(start[node], start[node + 1]):
                if neighbour[k] == previous:
                    out[edge[k]] += leaving[s] * passes
                    break
