"""Laws of closing: when a step is due, which readings count for it, and what makes it be closed once more."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.closing import changed_steps, cut_of, due_steps, received_by
from sensors.city import City
from sensors.night import Night, rfc3339
from sensors.reading import Records, empty_records
from tests.synthetic_city import make_city

MINUTE = np.timedelta64(60_000, "ms")


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    return make_city(tmp_path_factory.mktemp("town"))


def readings(night: Night, minutes: list[int], delays: list[int]) -> Records:
    records = empty_records(len(minutes))
    records["time"] = night.time_of("20:00") + np.array(minutes) * MINUTE
    records["received"] = records["time"] + np.array(delays) * MINUTE
    records["site"] = np.arange(len(minutes))
    records["duration_s"] = 900
    return records


def meta_of(city: City, night: Night, counts: dict[str, int]) -> dict[str, object]:
    steps = {clock: rfc3339(night.time_of(clock)) for clock in counts}
    return {"closed": [{"step": steps[clock], "records": count} for clock, count in counts.items()]}


@pytest.mark.parametrize(("name", "steps"), [("2026-11-20", 40), ("2026-03-28", 36), ("2026-10-24", 44)])
def test_every_step_of_a_night_is_due_once_it_is_over_also_when_the_clocks_change(
    city: City, name: str, steps: int
) -> None:
    night = Night.named(name, city.zone)
    assert len(due_steps(city, night, night.start, None)) == 0
    assert len(due_steps(city, night, night.end, None)) == steps
    assert len(due_steps(city, night, night.time_of("06:04"), None)) == steps - 1
    assert len(due_steps(city, night, night.time_of("06:05"), None)) == steps


def test_a_step_is_due_five_minutes_after_its_end_and_not_before(city: City) -> None:
    night = Night.named("2026-11-20", city.zone)
    first = night.time_of("20:00")
    assert cut_of(city, first) == night.time_of("20:20")
    assert len(due_steps(city, night, cut_of(city, first) - np.timedelta64(1, "ms"), None)) == 0
    assert due_steps(city, night, cut_of(city, first), None).tolist() == [first]


def test_overdue_steps_come_in_order_and_closed_ones_not_again(city: City) -> None:
    night = Night.named("2026-11-20", city.zone)
    meta = meta_of(city, night, {"20:00": 0, "20:30": 0})
    due = due_steps(city, night, night.time_of("21:20"), meta)
    assert due.tolist() == [night.time_of(clock) for clock in ("20:15", "20:45", "21:00")]


def test_a_reading_counts_when_received_by_the_cut_to_the_millisecond(city: City) -> None:
    night = Night.named("2026-11-20", city.zone)
    records = readings(night, [15, 15, 15], [5, 5, 6])
    records["received"][1] += np.timedelta64(1, "ms")
    assert received_by(records, night.time_of("20:20"))["site"].tolist() == [0]


def test_what_counts_does_not_depend_on_arrival_order_or_repetition(city: City) -> None:
    night = Night.named("2026-11-20", city.zone)
    records = readings(night, [15, 14, 13, 12], [1, 2, 3, 4])
    repeated = np.concatenate([records[::-1], records[:2]])
    repeated["received"][-2:] += MINUTE
    cut = night.time_of("20:20")
    assert np.array_equal(received_by(repeated, cut), received_by(records, cut))


def test_a_late_reading_changes_no_closed_step_and_a_straggler_does(city: City) -> None:
    night = Night.named("2026-11-20", city.zone)
    meta = meta_of(city, night, {"20:00": 2, "20:15": 2})
    records = readings(night, [10, 15], [1, 1])
    assert changed_steps(city, meta, records).tolist() == []
    late = readings(night, [10, 15, 12], [1, 1, 40])
    assert changed_steps(city, meta, late).tolist() == []
    straggler = readings(night, [10, 15, 12], [1, 1, 10])
    assert changed_steps(city, meta, straggler).tolist() == [night.time_of("20:15")]
