"""The rules for one lamp in plain Python, a report at a time, from sensing.md A7 and the table of `ingest.lamp_faults`.

Slow and easy to read; `ingest.lamp_faults` must say the same of every lamp of a city at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

MINUTE, DAY = 60_000, 86_400_000


class Report(NamedTuple):
    """What one controller says at one moment (ms): levels 0..1, watts, volts."""

    time: int
    command: float
    act: float
    power: float
    volts: float


Found = tuple[str, int, int, int | None]  # kind, since, confirmed, until


def plain_faults(reports: list[Report], watts: float, end: int) -> list[Found]:
    """Dead, partial, cycling and voltage faults of a lamp of so many watts, from reports in order of time."""
    found = list(_in_a_row("dead", reports, lambda report: _dark(report, reports, watts), end, 2, 30 * MINUTE))
    lit = [report for report in reports if _steady(report, reports) and report.act > 0]
    found += _in_a_row("partial", lit, lambda report: _dim(report, watts), end, 3, None)
    fed = [report for report in reports if report.volts > 50]
    found += _in_a_row("over-voltage", fed, lambda report: report.volts > 253, end, 3, None)
    found += _in_a_row("under-voltage", fed, lambda report: report.volts < 207, end, 3, None)
    return sorted(found + list(_cycling(reports)), key=str)


def _in_a_row(
    kind: str,
    reports: list[Report],
    bad: Callable[[Report], bool],
    end: int,
    enough: int,
    long_ms: int | None,
) -> Iterator[Found]:
    row: list[Report] = []
    for report in [*reports, None]:
        if report is not None and bad(report):
            row.append(report)
            continue
        if row:
            until = end if report is None else report.time
            moments = [row[enough - 1].time] if len(row) >= enough else []
            if long_ms is not None and row[0].time + long_ms <= until:
                moments.append(row[0].time + long_ms)
            if moments:
                yield kind, row[0].time, min(moments), None if report is None else report.time
        row = []


def _commanded(reports: list[Report], moment: int) -> float | None:
    """The command that held at a moment."""
    known = [report.command for report in reports if report.time <= moment]
    return known[-1] if known else None


def _dark(report: Report, reports: list[Report], watts: float) -> bool:
    earlier = _commanded(reports, report.time - 10 * MINUTE)
    if report.command <= 0 or earlier is None or earlier <= 0:
        return False
    return report.power < max(2.0, 0.2 * _expected(watts, report.command))


def _steady(report: Report, reports: list[Report]) -> bool:
    earlier = _commanded(reports, report.time - 10 * MINUTE)
    return earlier is not None and abs(earlier - report.command) < 0.03


def _dim(report: Report, watts: float) -> bool:
    share = report.power / _expected(watts, report.act)
    return 0.2 <= share < 0.7 and report.power >= 2.0


def _expected(watts: float, level: float) -> float:
    return watts * (0.08 + 0.92 * level)


def _cycling(reports: list[Report]) -> Iterator[Found]:
    first = reports[0].time
    ons: dict[int, list[int]] = {}
    orders: dict[int, int] = {}
    for i in range(1, len(reports)):
        before, report = reports[i - 1], reports[i]
        day = (report.time - first) // DAY
        if before.power <= 2 < report.power:
            ons.setdefault(day, []).append(report.time)
        if before.command <= 0 < report.command:
            orders[day] = orders.get(day, 0) + 1
    for day, times in ons.items():
        allowed = max(1, orders.get(day, 0))
        if len(times) - allowed >= 6:
            yield "cycling", times[0], times[5 + allowed], None
