"""What meters heard in a night: seconds, minutes and histograms; what cannot be said is not said."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import noctule
from analytics import levels
from analytics.noise_report import NOT_AVAILABLE, noise_report
from analytics.surroundings import surroundings
from ingest.archive import append_records
from sensors.city import City
from sensors.errors import CityError
from sensors.night import Night
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records
from sensors.register import add_site
from tests.synthetic_city import make_city

NIGHT = "2026-11-20"
SECONDS, MINUTES, COUNTED = "noise-90", "noise-91", "noise-92"


def readings(site: int, quantity: str, end: np.ndarray, value: np.ndarray, duration_s: float, first: int) -> Records:
    records = empty_records(end.size)
    records["time"], records["received"], records["site"] = end, end + np.timedelta64(1, "s"), site
    records["quantity"], records["value"], records["duration_s"] = QUANTITIES[quantity].code, value, duration_s
    records["boot"], records["seq"] = 1, first + np.arange(end.size)
    return records


def histograms(site: int, begin: np.datetime64, second: np.ndarray, first: int) -> Records:
    parts = []
    for k, quarter in enumerate(second.reshape(-1, 900)):
        counts = levels.histogram(quarter)
        bins = np.flatnonzero(counts)
        end = np.full(bins.size, begin + (k + 1) * np.timedelta64(900, "s"))
        part = readings(site, "sound_histogram", end, counts[bins], 900.0, first)
        part["seq"], part["part"] = first + k, 20 + bins
        parts.append(part)
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """Twelve hours of seconds from 19:00 to 07:00: a murmur, and people until the venue closes."""
    generator = np.random.default_rng(5)
    second = 48 + generator.normal(0, 2, 12 * 3600)
    second[: 6 * 3600] += 12
    second[::600] += 25
    return second


@pytest.fixture(scope="module")
def city(tmp_path_factory, sound) -> City:
    opened = make_city(tmp_path_factory.mktemp("town"))
    venue = opened.places("venues").geometry.iloc[0]
    begin = Night.named(NIGHT, opened.zone).at(19)

    def site(device, quantity, mounting="free"):
        return add_site(
            opened, device=device, quantity=quantity, easting=venue.x, northing=venue.y, height_m=4.0,
            mounting=mounting, sensor_class="2", calibration="94 dB 2026-10-01", origin="simulated",
            since=np.datetime64("2020-01-01", "ms"),
        )  # fmt: skip

    each = begin + np.arange(1, sound.size + 1) * np.timedelta64(1, "s")
    minute = np.array([levels.laeq(one) for one in sound.reshape(-1, 60)])
    records = [
        readings(site(SECONDS, "sound_laeq"), "sound_laeq", each, sound, 1.0, 0),
        readings(site(MINUTES, "sound_laeq", "facade"), "sound_laeq", each[59::60], minute + 3, 60.0, 0),
        readings(site(COUNTED, "sound_laeq"), "sound_laeq", each[59::60], minute, 60.0, 0),
        histograms(site(COUNTED, "sound_histogram"), begin, sound, 5_000),
    ]
    for days in (3, 2):  # Tuesday and Wednesday before, ten decibels quieter
        earlier = readings(
            int(records[1]["site"][0]), "sound_laeq", each[59::60] - np.timedelta64(days, "D"), minute - 7, 60.0,
            10_000 * days,
        )  # fmt: skip
        records.append(earlier)
    append_records(opened, np.concatenate(records), "test")
    return City.open(opened.path)


@pytest.fixture(scope="module")
def heard(city) -> dict:
    report = noise_report(city, [Night.named(NIGHT, city.zone)], limit_db=60.0)
    return {one["device"]: one["nights"][0] | {"meter": one} for one in json.loads(report.json())["meters"]}


def test_seconds_tell_everything(heard, sound):
    night = sound[4 * 3600 :]
    one = heard[SECONDS]
    assert one["laeq_23_07"] == pytest.approx(levels.laeq(night), abs=0.006)
    assert one["percentiles_from"] == "seconds"
    assert one["l90"] == pytest.approx(levels.exceeded(night, 90), abs=0.01)
    assert one["laeq_1s_max"] == pytest.approx(night.max(), abs=0.01)
    assert one["intermittency_ratio"] == pytest.approx(levels.intermittency(night), abs=0.1)
    assert one["exceedance_minutes"] == pytest.approx((night > 60.0).sum() / 60, abs=0.1)
    assert one["hours"][3]["harmonica"]["total"] == pytest.approx(
        levels.harmonica(sound[3 * 3600 : 4 * 3600], sound[: 3 * 3600]).total, abs=2e-3
    )
    assert [hour["start"][11:] for hour in one["hours"]][:2] == ["19:00:00+02:00", "20:00:00+02:00"]
    assert len(one["hours"]) == 12


def test_minutes_tell_no_percentiles_and_no_events(heard):
    one = heard[MINUTES]
    assert one["percentiles_from"] == NOT_AVAILABLE
    assert {one[name] for name in ("l10", "l50", "l90", "laeq_1s_max", "intermittency_ratio")} == {None}
    assert one["laeq_23_07"] == pytest.approx(heard[SECONDS]["laeq_23_07"] + 3, abs=0.02)  # the facade, as measured
    assert one["meter"]["mounting"] == "facade"
    assert {hour["harmonica"] for hour in one["hours"]} == {None}


def test_histograms_merge_into_the_percentiles_of_the_seconds(heard):
    one, all_ = heard[COUNTED], heard[SECONDS]
    assert one["percentiles_from"] == "histogram"
    for name in ("l10", "l50", "l90"):
        assert one[name] == pytest.approx(all_[name], abs=0.5)


def test_an_hour_stands_out_over_its_tuesdays_and_wednesdays(heard):
    assert {hour["emergence"] for hour in heard[MINUTES]["hours"]} == {10.0}
    assert {hour["emergence"] for hour in heard[SECONDS]["hours"]} == {None}


def test_closing_time_is_a_step(heard, city, sound):
    venue = city.places("venues").iloc[0]
    found = {one["time"][11:16]: one for one in heard[SECONDS]["closings"]}
    clock = f"{(int(venue.closes_min) // 60 + 12) % 24:02d}:{int(venue.closes_min) % 60:02d}"
    assert clock in found  # 20 November 2026 is a Friday
    close = int(venue.closes_min) * 60 - 7 * 3600  # seconds after 19:00
    step = levels.laeq(sound[close : close + 1800]) - levels.laeq(sound[close - 1800 : close])
    assert found[clock]["step_db"] == pytest.approx(step, abs=0.02)


def test_a_night_with_too_few_seconds_has_no_level(city):
    empty = noise_report(city, [Night.named("2026-11-17", city.zone)], site=None).meters
    by_device = {meter.device: meter.nights[0] for meter in empty}
    assert by_device[SECONDS].laeq_23_07 is None
    assert by_device[SECONDS].standing == "none"
    assert by_device[MINUTES].laeq_23_07 is not None


def test_lden_waits_for_a_year(city):
    nights = [Night.named(name, city.zone) for name in ("2026-11-17", "2026-11-18", NIGHT)]
    over = next(one for one in noise_report(city, nights).meters if one.device == MINUTES).to_dict()["long_term"]
    assert over["Lden"] is None
    assert over["Lnight"] is None
    assert over["LAeq,23-07"] is not None
    assert over["standing"] == "none"


def test_who_is_no_meter_is_said(city):
    with pytest.raises(CityError, match="no noise meter"):
        noise_report(city, [Night.named(NIGHT, city.zone)], site=9_999)


def test_the_command_says_what_it_is_not(city, tmp_path):
    run = CliRunner().invoke
    words = run(noctule.app, ["noise", str(city.path), "--night", NIGHT])
    assert words.exit_code == 0
    assert "not legal metrology" in words.output
    assert "SIMULATED" in words.output
    assert "not available" in words.output
    table = tmp_path / "noise.csv"
    assert (
        run(noctule.app, ["noise", str(city.path), "--csv", str(table), "--from", NIGHT, "--to", NIGHT]).exit_code == 0
    )
    assert table.read_text().count("\n") == 1 + len(noise_report(city, [Night.named(NIGHT, city.zone)]).meters)
    assert run(noctule.app, ["noise", str(city.path), "--from", NIGHT]).exit_code == 2
    assert run(noctule.app, ["noise", str(city.path), "--night", "2020-01-01"]).exit_code == 1


def test_each_meter_is_foretold_by_the_rest(city):
    """The estimate is of the free field, so a meter on a facade is met as well as one beside it that is not."""
    run = CliRunner().invoke(noctule.app, ["noise", str(city.path), "--night", NIGHT, "--leave-out", "--json"])
    assert run.exit_code == 0, run.output
    told = json.loads(run.output)
    assert told["meters"] == 3
    assert told["steps"] == 12
    # three meters at one place foretell each other; the sources alone do not
    assert told["rms_db"] < 2.5
    assert told["rms_db"] < told["rms_of_sources_alone_db"]
    assert told["within_90"] >= 0.9


def test_a_meter_errs_by_its_class(city):
    sites = surroundings(city).sites
    by_class = dict(zip(city.places("sites").sort_values("site").sensor_class, sites.meter_sd, strict=True))
    assert by_class["2"] == 1.5


@pytest.mark.parametrize(
    ("name", "hours", "twice"), [("2026-10-24", 13, "03:00"), ("2026-03-28", 11, ""), (NIGHT, 12, "")]
)
def test_a_doubled_hour_stands_twice_and_a_skipped_one_not(city, name, hours, twice):
    meter = noise_report(city, [Night.named(name, city.zone)]).meters[0]
    starts = [hour.start for hour in meter.nights[0].hours]
    clocks = [start[11:16] for start in starts]
    assert len(starts) == len(set(starts)) == hours
    assert meter.nights[0].hours_of_night == hours - 4
    assert {clock for clock in clocks if clocks.count(clock) == 2} == ({twice} if twice else set())
    assert clocks[-1] == "06:00"
