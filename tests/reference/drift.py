"""The test of Mann and Kendall and the slope of Sen from their definitions (Gilbert 1987, 16.4 and 16.5)."""

from __future__ import annotations

import math
import statistics


def plain_trend(values: list[float | None]) -> tuple[float, float]:
    """Slope a step and two-sided chance; None is missing."""
    known = [(step, value) for step, value in enumerate(values) if value is not None]
    slopes, score = [], 0
    for i in range(len(known)):
        for j in range(i + 1, len(known)):
            apart = known[j][1] - known[i][1]
            slopes.append(apart / (known[j][0] - known[i][0]))
            score += (apart > 0) - (apart < 0)
    n = len(known)
    variance = n * (n - 1) * (2 * n + 5) / 18
    for value in {value for _, value in known}:
        tied = sum(1 for _, other in known if other == value)
        variance -= tied * (tied - 1) * (2 * tied + 5) / 18
    if variance <= 0:
        return statistics.median(slopes), 1.0
    z = 0.0 if score == 0 else (abs(score) - 1) / math.sqrt(variance)
    return statistics.median(slopes), 2 * (1 - statistics.NormalDist().cdf(z))
