import numpy as np
import pytest

from analytics.hours import hour_blend, hour_of_week, minutes_after_noon


def at(text: str) -> np.ndarray:
    return np.array([np.datetime64(text, "ms")])


@pytest.mark.parametrize(
    ("utc", "zone", "weekday", "hour"),
    [
        ("2026-11-20T20:00", "Europe/Helsinki", 4, 10),  # Friday 22:00
        ("2026-11-21T00:30", "Europe/Helsinki", 4, 14),  # Saturday 02:30 belongs to Friday
        ("2026-11-21T10:00", "Europe/Helsinki", 5, 0),  # noon begins Saturday
        ("2026-11-21T09:59", "Europe/Helsinki", 4, 23),
        ("2014-09-20T12:30", "Australia/Melbourne", 5, 10),  # Saturday 22:30
        ("2026-11-20T11:45", "Asia/Kathmandu", 4, 5),  # zones of three quarters: 17:30
    ],
)
def test_a_night_belongs_to_its_evening(utc, zone, weekday, hour):
    assert hour_of_week(at(utc), zone)[0] == weekday * 24 + hour


def test_the_doubled_hour_falls_twice_into_one_bin():
    # 2026-10-25 04:00 summer time becomes 03:00 in Helsinki: 03:30 happens at 00:30 and at 01:30 UTC
    first, second = hour_of_week(np.array(["2026-10-25T00:30", "2026-10-25T01:30"], "M8[ms]"), "Europe/Helsinki")
    assert first == second == 5 * 24 + 15


def test_the_skipped_hour_never_occurs():
    utc = np.datetime64("2026-03-28T10:00", "ms") + np.arange(23 * 4) * np.timedelta64(15, "m")
    hours = hour_of_week(utc, "Europe/Helsinki")
    assert 5 * 24 + 15 not in hours  # 03:00 to 04:00 of the night of Saturday
    assert len(np.unique(hours)) == 23


def test_the_blend_meets_each_hour_at_its_middle():
    assert hour_blend(at("2026-11-20T20:30")[0], "Europe/Helsinki")[2] == pytest.approx(0.0)
    first, second, share = hour_blend(at("2026-11-20T20:45")[0], "Europe/Helsinki")
    assert (first, second) == (4 * 24 + 10, 4 * 24 + 11)
    assert share == pytest.approx(0.25)


def test_the_blend_holds_the_last_hour_at_noon():
    first, second, share = hour_blend(at("2026-11-21T09:59")[0], "Europe/Helsinki")
    assert second == 4 * 24 + 23
    assert share == 1.0
    assert first // 24 == second // 24


def test_minutes_count_from_local_noon():
    assert minutes_after_noon(at("2026-11-20T20:15")[0], "Europe/Helsinki") == 615.0
