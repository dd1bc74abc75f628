"""Weighted edge betweenness by trying every pair of origin and target, one Dijkstra a source, in plain Python."""

import heapq

Edges = list[tuple[int, int, float]]


def walks(edges: Edges, leaving: dict[int, float], arriving: dict[int, float], radius_m: float) -> list[float]:
    """For each edge the sum of leaving x arriving over pairs whose shortest way, at most `radius_m`, takes it."""
    beside: dict[int, list[tuple[int, float, int]]] = {}
    for number, (a, b, length) in enumerate(edges):
        beside.setdefault(a, []).append((b, length, number))
        beside.setdefault(b, []).append((a, length, number))
    total = [0.0] * len(edges)
    for source, weight in leaving.items():
        reached: dict[int, float] = {source: 0.0}
        came: dict[int, tuple[int, int]] = {}
        waiting = [(0.0, source)]
        while waiting:
            far, node = heapq.heappop(waiting)
            if far > reached[node]:
                continue
            for other, length, number in beside.get(node, []):
                if far + length < reached.get(other, float("inf")) and far + length <= radius_m:
                    reached[other] = far + length
                    came[other] = (node, number)
                    heapq.heappush(waiting, (far + length, other))
        for target, held in arriving.items():
            node = target
            while node in came:
                node, number = came[node]
                total[number] += weight * held
    return total
