"""Laws of people passing: gains, chance, silence, walks, what stays apart. Real counts: test_real_footfall."""

import json
from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from analytics import footfall
from analytics.assimilation import Departures, correct
from analytics.counter_gain import Gains, calibrate, with_dead_time, without_dead_time
from analytics.counts import dispersion, log_density, mean_of, poisson_interval, quantile, widened
from analytics.covariance import Matern
from analytics.forecast import forecast
from analytics.grid import Grid
from analytics.habits import Prior, fit_habits
from analytics.hours import HOURS
from analytics.knowledge import learn_from
from analytics.profile import Profile
from analytics.special_nights import BEFORE_HOLIDAY, EVENT, HOLIDAY, kinds_of_nights, nights_of
from analytics.surroundings import surroundings
from analytics.walking import network, walks, walks_layer
from noctule import app
from sensors.city import City
from sensors.errors import CityError
from sensors.journal import Entry, add_entry
from sensors.quantities import QUANTITIES
from sensors.reading import empty_records, sort_by_key
from sensors.register import SiteRegister, add_site, calibrate_site
from tests.reference.kriging import exact_gp, matern
from tests.reference.local_level import after_silence
from tests.reference.walks import walks as plain_walks
from tests.synthetic_city import SOUTH, WEST, make_city

STEP = np.datetime64("2026-11-20T20:00", "ms")
MINUTE = np.timedelta64(1, "m")


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    return surroundings(make_city(tmp_path_factory.mktemp("town")))


def reading(site: int, value: float, *, end=STEP + 15 * MINUTE, seconds=900.0, quantity="people_flow"):
    record = empty_records(1)
    record["time"] = record["received"] = end
    record["site"], record["quantity"] = site, QUANTITIES[quantity].code
    record["value"], record["duration_s"] = value, seconds
    return record


def counter(city) -> int:
    return int(SiteRegister.load(city).table.query("quantity == 'people_flow'").site.iloc[0])


# Dead time and gain


@given(st.floats(0.0, 3.0), st.floats(1.0, 1500.0), st.booleans())
@example(2.2e-309, 1.0, True)  # a number that has lost its digits
def test_dead_time_is_undone_by_its_inverse(dead_time_s, people, extending):
    if extending and people / 900.0 * dead_time_s > 0.98:  # beyond its maximum an extending counter tells less again
        return
    told = with_dead_time(np.array([people]), np.array([900.0]), dead_time_s, extending=extending)
    if not extending and told[0] / 900.0 * dead_time_s > 0.94:
        return
    back = without_dead_time(told, np.array([900.0]), dead_time_s, extending=extending)
    assert back[0] == pytest.approx(people, rel=1e-6)


def test_a_third_is_lost_at_one_person_a_second_and_half_a_second_of_dead_time():
    flow, minute = np.array([60.0]), np.array([60.0])
    assert with_dead_time(flow, minute, 0.5, extending=False)[0] == pytest.approx(60 * 0.667, rel=1e-3)
    assert with_dead_time(flow, minute, 0.5, extending=True)[0] == pytest.approx(60 * 0.607, rel=1e-3)


def simulated_counts(generator, gain, dead_time_s, n, extending=False):
    people = np.round(np.exp(generator.uniform(np.log(40), np.log(900), n)))
    people[:2] = 50, 900
    seconds = np.full(n, 900.0)
    own = np.exp(0.05 * generator.standard_normal(n))
    told = generator.poisson(with_dead_time(people / gain * own, seconds, dead_time_s, extending=extending))
    return np.maximum(told, 1.0), people, seconds


@pytest.mark.parametrize(
    ("gain", "dead_time_s", "extending"), [(1.15, 0.5, False), (1.3, 0.8, True), (1.0, 0.0, False)]
)
def test_manual_counts_recover_gain_and_dead_time_and_the_interval_is_true(gain, dead_time_s, extending):
    generator = np.random.default_rng(0)
    fits = [calibrate(*simulated_counts(generator, gain, dead_time_s, 10, extending)) for _ in range(60)]
    assert np.mean([fit.gain for fit in fits]) == pytest.approx(gain, rel=0.05)
    assert np.mean([fit.dead_time_s for fit in fits]) == pytest.approx(dead_time_s, abs=0.15)
    held = np.mean([fit.interval[0] <= gain <= fit.interval[1] for fit in fits])
    assert 0.8 <= held <= 1.0
    assert np.mean([fit.accepted for fit in fits]) > 0.7


def test_more_manual_counts_make_the_gain_surer():
    sure = [calibrate(*simulated_counts(np.random.default_rng(1), 1.2, 0.4, n)).gain_sd for n in (2, 6, 20)]
    assert sure[0] > sure[1] > sure[2]


def test_a_counter_that_errs_at_peak_is_not_accepted():
    told, people, seconds = simulated_counts(np.random.default_rng(2), 1.2, 0.0, 8)
    told[people > 200] *= np.array([0.4, 2.2, 0.5, 2.0, 0.45, 2.4, 0.5, 2.1])[: np.sum(people > 200)]
    found = calibrate(told, people, seconds)
    assert not found.accepted
    assert "15 %" in found.problem


@pytest.mark.parametrize(
    ("told", "people", "words"),
    [
        ([50.0], [60.0], "two or more"),
        ([50.0, 52.0], [60.0, 66.0], "same flow"),
        ([0.0, 90.0], [5.0, 100.0], "above 0"),
    ],
)
def test_manual_counts_that_cannot_tell_are_refused_in_one_sentence(told, people, words):
    with pytest.raises(CityError, match=words):
        calibrate(told, people, [900.0] * len(told))


def test_the_register_says_a_gain_back_and_other_texts_say_none():
    found = calibrate(*simulated_counts(np.random.default_rng(3), 1.2, 0.5, 8))
    gains = Gains.read([found.text("2026-11-20"), "94 dB at 1 kHz, 2026-03-01", "", "counter gain=nan gain_sd=0 x"])
    rows = np.arange(4)
    assert gains.calibrated(rows).tolist() == [True, False, False, False]
    assert gains.gain[0] == pytest.approx(found.gain, abs=1e-4)
    seen = gains.people(rows, np.full(4, 100.0), np.full(4, 900.0))
    assert seen[0] > 100.0
    assert seen[1:].tolist() == [100.0] * 3
    assert Gains.read(["", "serviced"]).gain.size == 0


# Chance


@given(st.integers(0, 400))
def test_the_exact_interval_of_a_small_count_is_the_chi_square_one(count):
    low, high = poisson_interval(float(count), 0.9)
    assert float(high) == pytest.approx(stats.chi2.ppf(0.95, 2 * count + 2) / 2, rel=1e-9)
    assert float(low) == pytest.approx(stats.chi2.ppf(0.05, 2 * count) / 2 if count else 0.0, rel=1e-9)


@pytest.mark.parametrize("rate", [0.3, 2.0, 7.5])
def test_the_exact_interval_holds_the_rate_at_least_so_often_as_it_says(rate):
    counts = np.arange(0, 60)
    low, high = poisson_interval(counts.astype(float), 0.9)
    assert np.sum(stats.poisson.pmf(counts, rate) * ((low <= rate) & (rate <= high))) >= 0.9


@given(st.floats(-1.0, 6.0), st.floats(0.8, 30.0))
def test_the_density_is_scipys_and_its_expected_logarithm_is_what_was_asked(eta, k):
    mean = float(mean_of(np.array(eta), np.array(k)))
    counts = np.arange(0, 40.0)
    ours = log_density(counts, np.full(40, eta), k)
    assert np.allclose(ours, stats.nbinom.logpmf(counts, k, k / (k + mean)), atol=1e-8)
    assert stats.gamma(k, scale=mean / k).expect(np.log) == pytest.approx(eta, abs=1e-3)


def test_dispersion_is_recovered_and_a_new_counter_has_the_citys():
    generator = np.random.default_rng(4)
    k = np.array([3.0, 3.0, 12.0, 3.0])
    place = np.repeat(np.arange(4), [600, 600, 600, 3])
    eta = generator.uniform(2.0, 6.0, place.size)
    mean = mean_of(eta, k[place])
    count = generator.negative_binomial(k[place], k[place] / (k[place] + mean)).astype(float)
    found, city = dispersion(count, eta, place, 4)
    assert found[:3] == pytest.approx(k[:3], rel=0.25)
    assert found[3] == pytest.approx(city, rel=0.3)  # three hours of history say little of it


@settings(max_examples=20)
@given(st.floats(0.0, 2.0))
def test_a_doubt_about_the_level_widens_the_interval(log_variance):
    eta, k = np.array([4.0]), np.array([6.0])
    wide = widened(k, log_variance)
    assert wide[0] <= k[0]
    assert quantile(0.95, eta, wide) >= quantile(0.95, eta, k)
    assert quantile(0.05, eta, wide) <= quantile(0.05, eta, k)


# Habits


def habit_prior(**changes):
    return replace(Prior(np.zeros(HOURS), 0.5, 0.6, 0.3, 300.0, 1.0, 0.4, 1.0), **changes)


def series(nights=120, sensors=4, seed=0, drift=0.0):
    """Hourly values of sensors: level, a fall through the night, what nights differ by; levels drift by a slope."""
    generator = np.random.default_rng(seed)
    sensor, night, hour = np.meshgrid(np.arange(sensors), np.arange(nights), np.arange(8, 18), indexing="ij")
    sensor, night, hour = (a.ravel() for a in (sensor, night, hour))
    value = 4.0 + 0.5 * sensor - 0.2 * (hour - 12) + drift * night + 0.3 * generator.standard_normal(sensor.size)
    time = night * 24 + hour
    return sensor, (night % 7) * 24 + hour, time, value, night


def fitted(parts, prior, kind=None, kinds=1):
    sensor, hour, time, value, night = parts
    small = np.full(value.size, 0.01)
    return fit_habits(sensor, hour, time, value, small, 8, prior, evening=night, kind=kind, kinds=kinds)


def test_a_level_that_rises_is_followed():
    parts = series(drift=0.01)
    still, follows = (fitted(parts, habit_prior(level_nights=half)) for half in (np.inf, 10.0))
    expected = 4.0 + 0.5 * np.arange(4) + 0.01 * 119
    total = [habits.level + habits.shape.reshape(7, 24)[:, 8:18].mean() + 0.2 * 0.5 for habits in (still, follows)]
    assert np.max(np.abs(total[1] - expected)) < 0.2 < np.min(expected - total[0])


def test_a_counter_that_is_away_now_and_then_keeps_its_level():
    sensor, hour, time, value, night = series()
    away = (sensor == 1) & (np.random.default_rng(9).random(value.size) < 0.08)
    value = np.where(away, -0.7, value)  # ln of the half that stands for a count of nobody
    plain, robust = (fitted((sensor, hour, time, value, night), habit_prior(huber=h)) for h in (np.inf, 1.0))
    usual = fitted(series(), habit_prior())
    assert abs(robust.level[1] - usual.level[1]) < 0.4 * abs(plain.level[1] - usual.level[1])


def test_special_nights_teach_their_effect_and_nothing_else():
    sensor, hour, time, value, night = series()
    kind = np.where(np.isin(night, [20, 55, 90]), 1, 0)
    parts = sensor, hour, time, value + 0.8 * kind, night
    found = fitted(parts, habit_prior(), kind=kind, kinds=2)
    assert found.effect[1, 8:18].mean() == pytest.approx(0.8 * 3 / 3.5, abs=0.12)  # shrunk as three nights deserve
    assert found.effect[0].tolist() == [0.0] * 24
    usual = fitted(tuple(part[kind == 0] for part in parts), habit_prior())
    assert found.level == pytest.approx(usual.level, abs=0.02)


def test_the_journal_says_which_nights_are_special(tmp_path):
    city = make_city(tmp_path)
    entry = {"entry": "", "status": "planned"}
    add_entry(city, Entry(kind="holiday", title="Independence Day", start="2026-12-06T00:00:00+02:00", **entry))
    add_entry(city, Entry(kind="holiday", title="Christmas", start="2026-12-25T00:00:00+02:00",
                          end="2026-12-27T00:00:00+02:00", **entry))  # fmt: skip
    add_entry(
        city, Entry(kind="holiday", title="Not held", start="2026-12-10T00:00:00+02:00", entry="", status="dropped")
    )
    add_entry(city, Entry(kind="event", title="Concert", start="2026-12-12T20:00:00+02:00", place="Club", **entry))
    add_entry(city, Entry(kind="event", title="Night of museums", start="2026-11-28T01:00:00+02:00", **entry))
    museums, sixth, christmas = (
        int(np.datetime64(text).astype(int)) for text in ("2026-11-27", "2026-12-06", "2026-12-25")
    )
    assert kinds_of_nights(city) == {
        sixth - 1: BEFORE_HOLIDAY, sixth: HOLIDAY,
        museums: EVENT,
        christmas - 1: BEFORE_HOLIDAY, christmas: BEFORE_HOLIDAY, christmas + 1: HOLIDAY,
    }  # fmt: skip
    assert nights_of(set()) == {}


def test_a_special_night_has_another_shape_and_json_keeps_it():
    added = np.linspace(0.0, 1.0, 24)
    night = int(np.datetime64("2026-11-20").astype(int))
    profile = Profile(np.zeros(HOURS), 0.5, 0.6, 0.3, Matern(1.5, 300.0, 1.0), (200.0, 400.0), special={night: added},
                      k=np.empty(0), city_k=5.0, spread=np.full(24, 0.3), local_variance=0.4)  # fmt: skip
    back = Profile.from_dict(json.loads(json.dumps(profile.to_dict())))
    middle = np.datetime64("2026-11-20T20:30", "ms")  # 22:30 in Helsinki, the eleventh hour since noon
    assert back.at(middle, "Europe/Helsinki") == pytest.approx(added[10])
    assert back.at(middle + np.timedelta64(24, "h"), "Europe/Helsinki") == 0.0
    assert back.to_dict() == profile.to_dict()


# Silence, and the map at a counter's own cell


def a_profile(**changes) -> Profile:
    plain = {
        "shape": np.zeros(HOURS), "temporal_sd": 0.5, "hour_correlation": 0.66, "city_share": 0.0,
        "covariance": Matern(1.5, 120.0, 0.6), "range_interval": (80.0, 200.0), "site": np.arange(3, dtype=np.uint32),
        "bias": np.full((3, HOURS), 0.4), "bias_variance": np.full(3, 1e-6), "local_variance": 0.4,
    }  # fmt: skip
    return Profile(**{**plain, **changes})


def three(departure, hours_since=1.0, last=np.nan) -> Departures:
    """Counters at cell centres, 100 m apart and more."""
    return Departures(
        site=np.arange(3, dtype=np.uint32), easting=np.array([55.0, 155.0, 255.0]),
        northing=np.array([55.0, 205.0, 75.0]), origin=np.zeros(3, np.uint8), departure=np.array(departure, float),
        noise_variance=np.full(3, 0.05), last=np.full(3, last), last_variance=np.full(3, 0.05),
        hours_since=np.full(3, hours_since), sd=np.ones(3),
    )  # fmt: skip


GRID = Grid(10.0, 0.0, 0.0, (30, 30))


def at_counters(correction):
    row, column, _ = GRID.cells(*(np.array(a) for a in ([55.0, 155.0, 255.0], [55.0, 205.0, 75.0])))
    return correction.mean[row, column] + correction.shift, correction.variance[row, column]


@pytest.mark.kernel
def test_a_counters_own_cell_is_the_exact_process_with_its_local_part():
    profile = a_profile()
    said = three([0.9, -0.7, 0.3])
    mean, variance = at_counters(correct(GRID, said, profile, 1.0, STEP, "UTC"))
    sensors = np.column_stack([said.easting, said.northing])
    between = np.hypot(*(sensors[:, None] - sensors[None]).transpose(2, 0, 1))
    field = 0.6 * matern(between, 1.5, 120.0) + 0.4 * np.eye(3)
    gain = field @ np.linalg.inv(field + 0.05 * np.eye(3))
    assert mean == pytest.approx(gain @ said.departure, abs=0.03)
    assert variance == pytest.approx(np.diag(field - gain @ field), abs=0.03)


@pytest.mark.kernel
def test_away_from_counters_the_map_is_as_unsure_as_smooth_and_local_part_together():
    said = three([0.9, -0.7, 0.3])
    found = correct(GRID, said, a_profile(), 1.0, STEP, "UTC")
    point = np.array([[205.0, 155.0]])
    mean, variance = exact_gp(np.column_stack([said.easting, said.northing]), said.departure, np.full(3, 0.45), point,
                              1.5, 120.0, 0.6)  # fmt: skip
    assert found.mean[15, 20] == pytest.approx(mean[0], abs=0.03)
    assert found.variance[15, 20] == pytest.approx(variance[0] + 0.4, abs=0.03)


@pytest.mark.kernel
@pytest.mark.parametrize("hours", [1, 3, 9])
def test_a_silent_counter_forgets_like_a_kalman_filter(hours):
    profile = a_profile(covariance=Matern(1.5, 1.0, 0.6), night_share=0.0)  # alone: nobody near
    found = correct(GRID, three([np.nan] * 3, hours, last=1.4), profile, 1.0, STEP, "UTC")
    mean, variance = at_counters(found)
    expected, unsure = after_silence(1.0, 0.05, hours, 0.66, 0.25)  # 1.4 said where 0.4 was usual
    assert mean == pytest.approx(np.full(3, 0.4 + expected), abs=0.02)
    assert variance == pytest.approx(np.full(3, unsure), abs=0.03)


@pytest.mark.kernel
def test_silence_widens_the_interval_hour_by_hour_up_to_the_habits():
    after = [at_counters(correct(GRID, three([np.nan] * 3, hours, last=1.0), a_profile(), 1.0, STEP, "UTC"))[1].mean()
             for hours in (0.25, 1.0, 2.0, 4.0, 8.0, 16.0)]  # fmt: skip
    assert np.all(np.diff(after) > 0)
    never = at_counters(correct(GRID, three([np.nan] * 3), a_profile(), 1.0, STEP, "UTC"))[1].mean()
    assert after[-1] == pytest.approx(never, abs=0.01)


@pytest.mark.kernel
def test_a_silent_counter_hears_what_its_neighbours_differ_by_tonight():
    crowded = three([1.4, np.nan, 1.4])  # 0.4 is usual everywhere
    far, near = (correct(GRID, crowded, a_profile(night_share=0.9, night_range_m=reach), 1.0, STEP, "UTC")
                 for reach in (5.0, 2000.0))  # fmt: skip
    assert at_counters(far)[0][1] == pytest.approx(0.4, abs=0.02)
    assert at_counters(near)[0][1] > 0.9
    assert at_counters(near)[1][1] < at_counters(far)[1][1]


@pytest.mark.kernel
def test_an_hour_that_ends_in_a_step_is_told_of_its_own_half_hour(town):
    knowledge = learn_from([], town)
    profile = replace(knowledge.footfall, shape=np.tile(-0.3 * np.arange(24.0), 7), special={})
    row = town.sites.of("people_flow")[0]
    cell = town.sites.row[row], town.sites.column[row]
    level = float(footfall.place_level(town, knowledge.coefficients)[cell])
    end = STEP + 60 * MINUTE
    usual = np.exp(level + profile.at(end - 30 * MINUTE, town.zone))
    hour = reading(int(town.sites.site[row]), usual - 0.5, end=end, seconds=3600.0)
    found = footfall.footfall_field(town, profile, knowledge.coefficients, hour, end - 15 * MINUTE)
    expected = np.exp(level + profile.at(end - 450 * np.timedelta64(1, "s"), town.zone))
    assert found.rate[cell] == pytest.approx(expected, rel=0.02)


# What stays apart


@pytest.mark.kernel
def test_people_present_and_devices_never_become_people_passing(tmp_path):
    city = make_city(tmp_path)
    at = {"easting": WEST + 160.0, "northing": SOUTH + 110.0, "origin": "simulated"}
    present = add_site(city, device="area-1", quantity="people_present", **at)
    radio = add_site(city, device="radio-1", quantity="devices_seen", **at)
    calibrate_site(city, present, "counter gain=1.0 gain_sd=0.1 dead_time_s=0 recovering")  # even so
    around = surroundings(city)
    knowledge = learn_from([], around)
    flow = reading(counter(city), 12)
    others = np.concatenate([reading(present, 500, quantity="people_present"),
                             reading(radio, 900, quantity="devices_seen")])  # fmt: skip
    alone = footfall.footfall_field(around, knowledge.footfall, knowledge.coefficients, flow, STEP)
    mixed = footfall.footfall_field(
        around, knowledge.footfall, knowledge.coefficients, sort_by_key(np.concatenate([flow, others])), STEP
    )
    assert np.array_equal(alone.rate, mixed.rate)
    assert np.array_equal(alone.nearest, mixed.nearest)
    nights = [sort_by_key(np.concatenate([flow, others])), flow]
    one, other = (learn_from([night], around).footfall for night in nights)
    assert one.to_dict() == other.to_dict()


@pytest.mark.kernel
def test_devices_tell_of_people_once_they_are_calibrated_and_as_unsurely_as_that_is(tmp_path):
    city = make_city(tmp_path)
    radio = add_site(city, device="radio-1", quantity="devices_seen", easting=WEST + 160.0, northing=SOUTH + 110.0,
                     origin="simulated")  # fmt: skip
    crowd = reading(radio, 300, quantity="devices_seen")
    sds, rates = [], []
    for sd in (None, 0.1, 0.6):
        if sd is not None:
            calibrate_site(city, radio, f"counter gain=2.0 gain_sd={sd} dead_time_s=0 recovering; by hand")
        around = surroundings(City.open(city.path))
        knowledge = learn_from([], around)
        found = footfall.footfall_field(around, knowledge.footfall, knowledge.coefficients, crowd, STEP)
        row = around.sites.rows(np.array([radio], np.uint32))[0]
        cell = around.sites.row[row], around.sites.column[row]
        sds.append(found.sd[cell])
        rates.append(found.rate[cell])
    assert rates[1] > 3 * rates[0]
    assert rates[1] == pytest.approx(2 * 300 * 4, rel=0.5)
    assert sds[1] < sds[2] < sds[0]


# Walks


def test_walks_are_those_of_a_plain_search_over_all_pairs():
    generator = np.random.default_rng(6)
    corner = generator.uniform(0, 800, (40, 2)).round(0)
    pairs = {(min(a, b), max(a, b)) for a, b in generator.integers(0, 40, (90, 2)) if a != b}
    lines = np.array([shapely.LineString(corner[[a, b]]) for a, b in sorted(pairs)], object)
    streets = network(lines)
    edges = list(zip(streets.start.tolist(), streets.end.tolist(), streets.length_m.tolist(), strict=True))
    origin, target = generator.uniform(0, 800, (7, 2)), generator.uniform(0, 800, (9, 2))
    leaving, arriving = generator.uniform(0.5, 5, 7), generator.uniform(10, 90, 9)

    def at(points, weights):
        held: dict[int, float] = {}
        for point, weight in zip(points, weights, strict=True):
            node = int(np.argmin(np.hypot(*(streets.node - point).T)))
            held[node] = held.get(node, 0.0) + weight
        return held

    expected = plain_walks(edges, at(origin, leaving), at(target, arriving), 500.0)
    assert walks(streets, origin, leaving, target, arriving, 500.0) == pytest.approx(np.array(expected), rel=1e-9)


def test_a_street_that_stops_short_of_another_is_joined_to_it():
    main, side, apart = (shapely.LineString(ends) for ends in (
        [(0, 0), (300, 0)], [(150, 14), (150, 200)], [(250, 60), (250, 200)]))  # fmt: skip
    streets = network(np.array([main, side, apart], object))
    one, end = np.ones(1), np.array([[150.0, 200.0]])
    passed = walks(streets, np.array([[0.0, 0.0]]), one, end, one)
    assert streets.length_m[passed > 0].sum() == pytest.approx(150 + 200, abs=1.0)
    nobody = walks(streets, np.array([[0.0, 0.0]]), one, np.array([[250.0, 200.0]]), one)
    assert not nobody.any()  # 60 m away is another street


def test_no_streets_no_stops_and_no_venues_are_no_walks():
    grid, nothing = Grid(10.0, 0.0, 0.0, (5, 5)), np.empty((0, 2))
    lines = np.array([shapely.LineString([(0, 25), (50, 25)])], object)
    for some, origin, target in ((np.empty(0, object), nothing, nothing), (lines, nothing, nothing)):
        layer = walks_layer(grid, some, origin, np.empty(0), target, np.empty(0))
        assert layer.shape == (5, 5)
        assert not layer.any()


# Forecasts and commands


def test_a_counter_that_was_never_heard_gets_its_places_expectation_and_a_wide_interval(town):
    knowledge = learn_from([], town)
    site = town.sites.site[town.sites.of("people_flow")[:2]]
    hours = np.datetime64("2026-11-20T18:00", "ms") + np.arange(3) * 60 * MINUTE
    found = forecast(town, knowledge, site, hours)
    assert np.all(found.low < found.usual)
    assert np.all(found.high > 3 * found.usual)
    lamp = town.sites.site[town.sites.of("dimming")[:1]]
    with pytest.raises(CityError, match="counts no people"):
        forecast(town, knowledge, lamp, hours)


def test_the_commands_calibrate_and_forecast(tmp_path):
    city = make_city(tmp_path / "town")
    site = counter(city)
    run = CliRunner().invoke
    file = tmp_path / "manual.csv"
    rows = ["start,end,people,counted"]
    rows += [f"2026-11-{day}T22:00:00+02:00,2026-11-{day}T22:15:00+02:00,{people},{told}"
             for day, people, told in ((10, 60, 50), (11, 300, 246), (12, 620, 500), (13, 90, 76))]  # fmt: skip
    file.write_text("\n".join(rows), "utf-8")
    done = run(app, ["counter", "calibrate", str(city.path), str(site), str(file), "--json"])
    said = json.loads(done.stdout)
    assert said["accepted"]
    assert said["gain_low"] < said["gain"] < said["gain_high"]
    assert SiteRegister.load(city).find(np.array([site])).calibration.iloc[0].startswith("counter gain=")
    told = run(app, ["counter", "forecast", str(city.path), str(site), "--night", "2026-11-20", "--json"])
    hours = json.loads(told.stdout)[str(site)]
    assert len(hours) == 10
    assert all(hour["low"] <= hour["usual"] <= hour["high"] for hour in hours)
    file.write_text("start,end,people\n2026-11-10T22:00:00+02:00,2026-11-10T22:15:00+02:00,60\n", "utf-8")
    refused = run(app, ["counter", "calibrate", str(city.path), str(site), str(file)])
    assert refused.exit_code == 1
    assert "0 of the 15 minutes" in str(refused.exception)
