"""Laws of the night: noon to noon, and what daylight saving does to it."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.night import Night, night_of, nights_of, parse_rfc3339, rfc3339, sun_elevation, sun_times

HELSINKI = ZoneInfo("Europe/Helsinki")
MELBOURNE = ZoneInfo("Australia/Melbourne")


@pytest.mark.parametrize(
    ("name", "zone", "hours", "steps"),
    [
        ("2026-11-20", HELSINKI, 24, 40),
        ("2026-10-24", HELSINKI, 25, 44),
        ("2026-03-28", HELSINKI, 23, 36),
        ("2013-10-05", MELBOURNE, 23, 36),
        ("2014-04-05", MELBOURNE, 25, 44),
    ],
)
def test_a_night_has_the_hours_that_the_clocks_give_it(name, zone, hours, steps):
    night = Night.named(name, zone)
    assert (night.end - night.start) / np.timedelta64(1, "h") == hours
    assert len(night.steps()) == steps


@given(st.datetimes(min_value=datetime(2012, 1, 1), max_value=datetime(2040, 1, 1)))
def test_every_moment_belongs_to_the_one_night_that_contains_it(moment):
    time = np.datetime64(moment, "ms")
    for zone in (HELSINKI, MELBOURNE):
        night = night_of(time, zone)
        assert night.start <= time < night.end
        assert nights_of(np.array([time]), zone)[0] == np.datetime64(night.date)


def test_a_night_is_named_by_the_evening_it_begins():
    assert night_of(np.datetime64("2026-11-21T03:00", "ms"), HELSINKI).date == date(2026, 11, 20)


def test_the_sun_does_not_set_in_the_polar_day():
    times = sun_times(69.65, 18.96, Night.named("2026-06-20", ZoneInfo("Europe/Oslo")))
    assert (times.sunset, times.civil_dusk, times.civil_dawn, times.sunrise) == (None,) * 4
    assert times.dark_hours == 0


def test_the_polar_night_still_has_a_civil_dusk():
    times = sun_times(69.65, 18.96, Night.named("2026-12-20", ZoneInfo("Europe/Oslo")))
    assert times.sunset is None
    assert times.civil_dusk is not None
    assert 15 < times.dark_hours < 24


def test_it_is_dark_all_night_where_the_sun_stays_far_below():
    times = sun_times(84.0, 0.0, Night.named("2026-12-20", ZoneInfo("UTC")))
    assert times.civil_dusk is None
    assert times.dark_hours == pytest.approx(24)


def test_the_sun_stands_at_minus_six_at_civil_dusk():
    times = sun_times(60.17, 24.94, Night.named("2026-11-20", HELSINKI))
    elevation = sun_elevation(np.array([times.civil_dusk, times.civil_dawn]), 60.17, 24.94)
    assert elevation == pytest.approx([-6, -6], abs=0.01)


DAYS = ["2026-01-15", "2026-03-20", "2026-06-21", "2026-09-30", "2026-12-21"]


@pytest.mark.parametrize("day", DAYS)
@pytest.mark.parametrize("place", [(60.17, 24.94, "Europe/Helsinki"), (0.35, 32.58, "Africa/Kampala"),
                                   (47.22, -1.55, "Europe/Paris")])  # fmt: skip
def test_the_sun_sets_and_rises_when_the_solar_position_algorithm_of_nrel_says(place, day):
    """Its own rise and set interpolate three positions of a day, we search the horizon: at most 60 s apart."""
    import pandas as pd
    from pvlib.solarposition import sun_rise_set_transit_spa

    latitude, longitude, zone = place
    ours = sun_times(latitude, longitude, Night.named(day, ZoneInfo(zone)))
    days = pd.date_range(pd.Timestamp(day, tz="UTC") - pd.Timedelta(days=1), periods=4)
    theirs = sun_rise_set_transit_spa(days, latitude, longitude)
    for found, said in ((ours.sunset, theirs["sunset"]), (ours.sunrise, theirs["sunrise"])):
        moments = said.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[ms]")
        assert np.abs(moments - found).min() <= np.timedelta64(60, "s")


@pytest.mark.parametrize("day", DAYS)
def test_far_from_greenwich_the_sun_stands_on_the_horizon_when_it_sets_and_rises(day):
    """In Melbourne its rise comes with the sun 0.2 to 0.3 degrees beside the horizon."""
    import pandas as pd
    from pvlib.solarposition import get_solarposition

    ours = sun_times(-37.81, 144.96, Night.named(day, MELBOURNE))
    at = pd.DatetimeIndex([ours.sunset, ours.sunrise]).tz_localize("UTC")
    stands = get_solarposition(at, -37.81, 144.96, method="nrel_numpy")["elevation"].to_numpy()
    assert stands == pytest.approx([-0.833, -0.833], abs=0.001)


def test_the_sun_stands_where_the_example_of_the_solar_position_algorithm_has_it():
    """Reda and Andreas 2004, table A5.1: Golden, Colorado, 17 October 2003, 12:30:30 at UTC - 7."""
    at = np.array([np.datetime64("2003-10-17T19:30:30", "ms")])
    # zenith 50.11162 degrees with refraction, of which 0.0163 is refraction (elevation without: 39.872046)
    assert sun_elevation(at, 39.742476, -105.1786) == pytest.approx([39.872046], abs=0.002)


def test_the_end_night_has_seven_or_nine_hours_when_the_clocks_change():
    hours = [
        sun_times(60.17, 24.94, Night.named(name, HELSINKI)).end_night_hours
        for name in ("2026-03-28", "2026-11-20", "2026-10-24")
    ]
    assert hours == [7, 8, 9]


@given(st.integers(min_value=0, max_value=4_000_000_000_000))
def test_moments_survive_being_written(ms):
    time = np.datetime64(ms, "ms")
    assert parse_rfc3339(rfc3339(time)) == time


def test_a_time_without_zone_is_refused():
    with pytest.raises(ValueError, match="has no zone"):
        parse_rfc3339("2026-11-20T18:00:00")
