"""What never came and what contradicts itself, in plain Python, a number at a time."""

from __future__ import annotations


def plain_gaps(messages: list[tuple[str, int, int]]) -> set[tuple[str, int, int, int]]:
    """(device, boot, last number before, first number after) of each run that is missing among (device, boot, seq)."""
    found = set()
    for device, boot in {(device, boot) for device, boot, _ in messages}:
        came = {seq for its, of, seq in messages if (its, of) == (device, boot)}
        last = min(came)
        for number in range(min(came), max(came) + 1):
            if number in came:
                if number - last > 1:
                    found.add((device, boot, last, number))
                last = number
    return found


def plain_conflicts(readings: list[tuple[int, int, float]]) -> dict[tuple[int, int], list[float]]:
    """(site, time) -> its values in order, where (site, time, value) has several."""
    told: dict[tuple[int, int], list[float]] = {}
    for site, time, value in readings:
        told.setdefault((site, time), []).append(value)
    return {place: sorted(values) for place, values in told.items() if len(set(values)) > 1}
