"""Laws of level arithmetic: energy, seconds, clocks; and agreement with `noisemonitor` where it computes the same."""

import ast
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from analytics import levels, noise_day
from analytics.kernels import levels as kernels
from sensors.night import Night
from tests.reference import noise as reference

ROOT = Path(__file__).parents[2]
HELSINKI, LORD_HOWE = ZoneInfo("Europe/Helsinki"), ZoneInfo("Australia/Lord_Howe")


def seconds_of_a_street(n: int, seed: int = 0) -> np.ndarray:
    """Levels of seconds with a murmur and cars, as they come: correlated and skew."""
    generator = np.random.default_rng(seed)
    murmur = 45 + np.convolve(generator.normal(0, 3, n + 59), np.ones(60) / 60, "valid") * 4
    cars = np.zeros(n)
    for at in generator.integers(0, n, n // 90):
        cars = np.maximum(cars, generator.uniform(10, 30) - 1.2 * np.abs(np.arange(n) - at))
    return murmur + np.maximum(cars, 0) + generator.normal(0, 1, n)


@pytest.mark.kernel
def test_the_energy_of_rows_is_the_sum_over_their_valid_seconds():
    level = np.array([[50.0, np.nan, 60.0], [20.0, 130.0, 75.5], [np.nan] * 3, [np.inf, -np.inf, 40.0]], np.float32)
    energy, valid = np.empty(4), np.empty(4, np.int64)
    kernels.sum_energy(0, 4, level, energy, valid)
    assert valid.tolist() == [2, 3, 0, 1]
    wanted = [1e5 + 1e6, 1e2 + 1e13 + 10**7.55, 0.0, 1e4]
    assert energy == pytest.approx(wanted, rel=5e-6)


def test_the_level_of_an_hour_errs_by_less_than_a_thousandth_of_a_decibel():
    level = np.stack([seconds_of_a_street(3600, seed) for seed in range(5)]).astype(np.float32)
    level[1, ::7] = np.nan
    level[2] = np.nan
    found = levels.laeq_of_rows(level)
    for row in (0, 1, 3, 4):
        assert found.level[row] == pytest.approx(reference.laeq(level[row].tolist(), [1.0] * 3600), abs=1e-4)
    assert np.isnan(found.level[2])
    assert found.seconds.tolist() == [3600, 3600 - 515, 0, 3600, 3600]


def test_a_long_series_loses_nothing():
    night = np.tile(seconds_of_a_street(3600), (1, 24 * 7)).astype(np.float32)
    assert levels.laeq_of_rows(night).level[0] == pytest.approx(levels.laeq(night[0]), abs=1e-4)


def test_every_level_from_zero_to_a_hundred_and_forty_has_its_energy():
    level = np.linspace(0, 140, 28_001, dtype=np.float32)[:, None]
    assert np.abs(levels.laeq_of_rows(level).level - level[:, 0]).max() < 5e-5


def test_levels_weigh_by_their_valid_seconds():
    assert levels.laeq([50.0, 60.0], [900.0, 300.0]) == pytest.approx(10 * np.log10((3e5 + 1e6) / 4))
    assert levels.laeq([50.0, np.nan], [900.0, 900.0]) == pytest.approx(50.0)
    assert np.isnan(levels.laeq([np.nan, 60.0], [900.0, 0.0]))


def test_a_coarser_level_from_finer_ones_is_that_of_the_seconds():
    second = seconds_of_a_street(3600)
    second[100:700] = np.nan
    minutes = second.reshape(60, 60)
    level = np.array([levels.laeq(one) for one in minutes])
    valid = np.isfinite(minutes).sum(axis=1).astype(float)
    assert levels.laeq(level, valid) == pytest.approx(levels.laeq(second), abs=1e-9)
    grouped, held = levels.laeq_by(np.arange(3600) // 60, second, np.ones(3600), 60)
    assert np.allclose(grouped, level, equal_nan=True)
    assert np.array_equal(held, valid)


def test_the_loudest_second_and_a_share_of_time():
    level = np.array([40.0, 50.0, np.nan, 61.5])
    assert levels.largest_1s(level) == 61.5
    assert levels.exceedance_minutes(level, np.full(4, 60.0), 45.0) == 2.0
    assert levels.coverage(level, np.full(4, 60.0), 240.0) == 0.75
    assert levels.standing(0.75) == "reported"
    assert levels.standing(0.7499) == "hatched"
    assert levels.standing(0.4999) == "none"


def test_percentiles_are_of_the_seconds():
    second = seconds_of_a_street(900)
    for percent in (10, 50, 90):
        assert levels.exceeded(second, percent) == pytest.approx(reference.percentile(second.tolist(), 100 - percent))
    assert levels.exceeded(second, 10) > levels.exceeded(second, 50) > levels.exceeded(second, 90)


@pytest.mark.parametrize("seed", range(5))
def test_percentiles_of_merged_histograms_are_within_a_bin_of_those_of_the_seconds(seed):
    second = seconds_of_a_street(7200, seed)
    merged = sum(levels.histogram(quarter) for quarter in second.reshape(8, 900))
    assert merged.sum() == 7200
    for percent in (1, 5, 10, 50, 90, 95, 99):
        assert levels.exceeded_of_histogram(merged, percent) == pytest.approx(levels.exceeded(second, percent), abs=0.5)


def test_the_mean_of_percentiles_is_no_percentile():
    """Which is why percentiles are merged from histograms only: half an hour at 40 and half at 70 dB."""
    quiet, loud = np.full(1800, 40.0), np.full(1800, 70.0)
    loud[:300] = 40.0
    both = levels.histogram(quiet) + levels.histogram(loud)
    truth = levels.exceeded(np.concatenate([quiet, loud]), 50)
    assert levels.exceeded_of_histogram(both, 50) == pytest.approx(truth, abs=1.0)
    of_two = (levels.exceeded(quiet, 50) + levels.exceeded(loud, 50)) / 2
    assert abs(of_two - truth) > 10


def test_a_histogram_is_answered_at_its_ends():
    one = np.zeros(100)
    assert np.isnan(levels.exceeded_of_histogram(one, 50))
    one[35] = 10
    assert levels.exceeded_of_histogram(one, 100) == 55.0
    assert levels.exceeded_of_histogram(one, 0) == 56.0
    assert levels.exceeded_of_histogram(one, 50) == 55.5
    with pytest.raises(ValueError, match="100 bins"):
        levels.exceeded_of_histogram([1, 2], 50)


def test_intermittency_of_two_equal_halves_is_nought():
    """sensing.md B2: half at 50, half at 60 dB is 57.40 dB, the threshold 60.40, and nothing exceeds it."""
    level = np.repeat([50.0, 60.0], 1800)
    assert levels.laeq(level) == pytest.approx(57.40, abs=0.005)
    assert levels.intermittency(level) == 0.0
    assert levels.intermittency(np.append(np.full(3599, 50.0), 80.0)) > 20
    second = seconds_of_a_street(1800)
    assert levels.intermittency(second) == pytest.approx(reference.intermittency(second.tolist()), rel=1e-9)


def test_the_step_at_closing_is_a_difference_of_two_energy_means():
    close = np.datetime64("2026-11-21T00:00", "ms")
    end = close + (np.arange(-30, 30) + 1) * np.timedelta64(1, "m")
    level = np.where(end > close, 66.0, 60.0)
    level[::2] += 3
    assert levels.closing_step(end, level, np.full(60, 60.0), close) == pytest.approx(6.0, abs=1e-9)
    level[35:50] = np.nan  # half of the second half hour
    assert np.isnan(levels.closing_step(end, level, np.full(60, 60.0), close))


def test_emergence_is_over_the_middle_of_quiet_evenings():
    assert levels.emergence(62.0, [50.0, 48.0, 55.0]) == pytest.approx(12.0)
    assert levels.emergence(62.0, [50.0, 60.0, np.nan]) == pytest.approx(62.0 - 57.404, abs=1e-3)
    assert np.isnan(levels.emergence(62.0, []))


@pytest.mark.parametrize(
    ("night", "zone", "hours"),
    [
        ("2026-11-20", HELSINKI, 8.0),
        ("2026-10-24", HELSINKI, 9.0),  # clocks go back on 25 October
        ("2026-03-28", HELSINKI, 7.0),  # and forward on 29 March
        ("2026-04-04", LORD_HOWE, 8.5),  # by half an hour
        ("2026-10-03", LORD_HOWE, 7.5),
    ],
)
def test_the_night_lasts_its_real_hours(night, zone, hours):
    begin, end = noise_day.night_span(Night.named(night, zone))
    assert (end - begin) / np.timedelta64(1, "h") == hours
    minutes = np.arange(begin, end, np.timedelta64(1, "m")) + np.timedelta64(1, "m")
    assert (noise_day.period_of(minutes, np.full(minutes.size, 60.0), zone) == 2).all()
    around = np.array([begin, end + np.timedelta64(1, "m")])
    assert noise_day.period_of(around, np.full(2, 60.0), zone).tolist() == [1, 0]


def test_a_night_of_nine_hours_weighs_nine_hours():
    """The doubled hour is heard twice: eight hours at 50 dB and one at 60."""
    begin, end = noise_day.night_span(Night.named("2026-10-24", HELSINKI))
    minutes = np.arange(begin, end, np.timedelta64(1, "m")) + np.timedelta64(1, "m")
    level = np.where(minutes <= begin + np.timedelta64(1, "h"), 60.0, 50.0)
    found = noise_day.long_term(minutes, level, np.full(minutes.size, 60.0), HELSINKI)
    assert found.level[2] == pytest.approx(10 * np.log10((1e6 + 8e5) / 9))


def test_one_night_is_not_called_lnight():
    minutes = np.datetime64("2026-11-20T00:00", "ms") + np.arange(1, 1441) * np.timedelta64(1, "m")
    level, seconds = np.full(1440, 50.0), np.full(1440, 60.0)
    found = noise_day.long_term(minutes, level, seconds, HELSINKI)
    assert found.l_night is None
    assert found.l_den is None
    assert found.standing == "none"
    assert found.to_dict()["LAeq,23-07"] == 50.0
    quarters = np.datetime64("2025-01-01T00:00", "ms") + np.arange(1, 365 * 96 + 1) * np.timedelta64(15, "m")
    for share, standing in ((1.0, "reported"), (0.6, "hatched"), (0.4, "none")):
        upto = int(quarters.size * share)
        found = noise_day.long_term(quarters[:upto], np.full(upto, 50.0), np.full(upto, 900.0), HELSINKI)
        assert found.standing == standing
        assert (found.l_night is None) == (standing == "none")
        if standing != "none":
            assert found.l_den == pytest.approx(noise_day.lden(50, 50, 50))


def test_lden_weighs_evening_and_night():
    assert noise_day.lden(50, 50, 50) == pytest.approx(56.395, abs=0.001)
    assert noise_day.lden(60, 55, 50) == pytest.approx(60.0)


# Within 0.001 dB of independent software, where it computes the same thing.


@pytest.fixture(scope="module")
def core():
    return pytest.importorskip("noisemonitor.util.core")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    second = seconds_of_a_street(4 * 3600, 3)
    index = pd.date_range("2026-11-20 20:00", periods=second.size, freq="s")
    return pd.DataFrame({"laeq": second}, index=index)


def test_equivalent_level_as_noisemonitor_has_it(core, frame):
    level = frame.laeq.to_numpy().copy()
    assert levels.laeq(level) == pytest.approx(core.equivalent_level(level), abs=1e-3)
    level[100:900] = np.nan
    assert levels.laeq(level) == pytest.approx(core.equivalent_level(level), abs=1e-3)
    rows = levels.laeq_of_rows(level.astype(np.float32)[None])
    assert rows.level[0] == pytest.approx(core.equivalent_level(level), abs=1e-3)


def test_percentiles_as_noisemonitor_has_it(core, frame):
    from noisemonitor import summary

    theirs = summary.leq(frame, 21, 23, column=0).iloc[0]
    span = frame.between_time("21:00", "23:00").laeq
    assert round(levels.laeq(span), 2) == pytest.approx(float(theirs.Leq), abs=1e-3)  # they round to 0.01 dB
    for name, percent in (("L10", 10), ("L50", 50), ("L90", 90)):
        assert round(levels.exceeded(span, percent), 2) == pytest.approx(float(theirs[name]), abs=1e-3)


def test_harmonica_as_noisemonitor_has_it(core, frame):
    theirs = core.harmonica(frame, 0, use_chunks=False)
    level = frame.laeq.to_numpy()
    for hour in range(4):
        ours = levels.harmonica(level[hour * 3600 : (hour + 1) * 3600], level[: hour * 3600])
        assert ours.background == pytest.approx(theirs.BGN.iloc[hour], abs=1e-3)
        assert ours.events == pytest.approx(theirs.EVT.iloc[hour], abs=1e-3)
        assert ours.total == pytest.approx(theirs.HARMONICA.iloc[hour], abs=1e-3)


def test_harmonica_needs_four_fifths_of_the_hour(core, frame):
    level = frame.laeq.to_numpy()[:3600].copy()
    level[:721] = np.nan
    assert np.isnan(levels.harmonica(level).total)
    theirs = core.harmonica(pd.DataFrame({"laeq": level}, index=frame.index[:3600]), 0, use_chunks=False)
    assert np.isnan(theirs.HARMONICA.iloc[0])


def test_lden_as_noisemonitor_has_it(core):
    index = pd.date_range("2026-11-20 00:00:30", periods=1440, freq="min")
    level = 55 + 8 * np.sin(np.arange(1440) / 200)
    theirs = core.lden(pd.DataFrame({"laeq": level}, index=index), 0, values=True).iloc[0]
    utc = (index + pd.Timedelta(seconds=30)).to_numpy("datetime64[ms]")
    ours = noise_day.long_term(utc, level, np.full(1440, 60.0), ZoneInfo("UTC"))
    for name, value in zip(("Lday", "Levening", "Lnight"), ours.level, strict=True):
        assert round(value, 2) == pytest.approx(theirs[name], abs=1e-3)
    # they round to 0.01 dB before they weigh, and so do we here
    weighed = noise_day.lden(*(round(value, 2) for value in ours.level))
    assert weighed == pytest.approx(theirs.Lden, abs=0.0051)


# What may not be averaged as a number. Departures from the model (`habits.level`) are no levels but errors in dB.
_IN_DB = ("level", "level_db", "laeq", "value_db", "free", "second", "level_1s")
_FILES = ("levels", "noise", "noise_day", "noise_report", "noise_habits", "sources")


def test_no_levels_are_averaged_in_decibels():
    """No file about sound takes a mean of something that is called a level."""
    found = []
    for path in [(ROOT / "analytics" / f"{name}.py") for name in _FILES]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr not in ("mean", "nanmean", "average", "nanmedian", "median", "convolve"):
                continue
            of_module = isinstance(node.func.value, ast.Name) and node.func.value.id == "np"
            what = ast.unparse(node.args[0] if of_module and node.args else node.func.value)
            if what.split("[")[0] in _IN_DB:
                found.append(f"{path.name}:{node.lineno} {ast.unparse(node)}")
    assert found == []
