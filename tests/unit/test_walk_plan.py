from __future__ import annotations

import json

import numpy as np
import pytest
import shapely
from typer.testing import CliRunner

from analytics.asking_value import asking_value
from analytics.model import fit
from analytics.orienteering import shortened, walk_length
from analytics.walk_plan import APART_M, check_walk, plan_walk, repeat_walk, worth_of
from analytics.walk_route import MINUTES_A_STOP, SPEED_M_PER_MIN, Ways, route_of
from noctule import app
from sensors.errors import WalkError
from sensors.night import Night
from sensors.walk import read_walk, walk_folder, walk_settings, write_walk
from tests.synthetic_city import SOUTH, WEST, make_city

CORNER = (60.167, 24.9429)  # near the south-western crossing


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    made = make_city(tmp_path_factory.mktemp("walks") / "town")
    fit(made, Night.named("2026-11-20", made.zone))
    return made


def settings(walk_id="autumn", **changes):
    return walk_settings(walk_id, "Autumn walk", "2026-11-20", **changes)


@pytest.fixture(scope="module")
def planned(city):
    return plan_walk(city, settings(), stops=6, length_m=900)


def test_the_way_between_two_points_follows_the_streets(city):
    # From a point on the southern street to one on the eastern street, round their crossing: 100 + 100 m.
    points = np.array([[WEST + 160.0, SOUTH + 60.0], [WEST + 260.0, SOUTH + 160.0]])
    ways = Ways(city, points)
    assert ways.way_m[0, 1] == pytest.approx(200.0, abs=1.0)
    assert ways.line(0, 1).length == pytest.approx(200.0, abs=1.0)
    assert ways.way_m[0, 0] == 0.0


def test_a_walk_keeps_its_length_and_its_stops_apart_and_stands_on_sections(city, planned):
    walk, route = planned.walk, planned.route
    assert 2 <= len(walk.stops) <= 6
    assert route.length_m <= 900
    assert len(route.legs_m) == len(walk.stops)
    gap = [a.distance(b) for i, a in enumerate(walk.stops.geometry) for b in walk.stops.geometry.iloc[:i]]
    assert min(gap) >= APART_M
    middles = shapely.line_interpolate_point(city.places("sections").geometry.to_numpy(), 0.5, normalized=True)
    for stop in walk.stops.itertuples():
        assert stop.geometry.distance(middles[stop.section]) < 0.01
    assert planned.notes == []


def test_the_time_of_a_walk_is_its_way_and_its_stops(planned):
    route = planned.route
    assert route.minutes == pytest.approx(route.length_m / SPEED_M_PER_MIN + len(planned.walk.stops) * MINUTES_A_STOP)


def test_stops_of_a_walk_tell_more_than_random_walks_of_its_length(city, planned):
    asking = asking_value(city)
    worth = worth_of(asking, np.arange(len(asking.points)))
    number = asking.sections["section"].to_numpy()
    chosen = tuple(sorted(int(np.flatnonzero(number == stop)[0]) for stop in planned.walk.stops["section"]))
    ways = Ways(city, asking.points).way_m
    generator = np.random.default_rng(1)
    random = []
    while len(random) < 40:
        walk = shortened(generator.choice(len(number), len(chosen), replace=False).tolist(), ways, True)
        gap = np.hypot(*(asking.points[walk][:, None] - asking.points[walk][None]).transpose(2, 0, 1))
        if (gap[np.triu_indices(len(walk), 1)] >= APART_M).all() and walk_length(walk, ways, True) <= 900:
            random.append(worth(tuple(sorted(walk))))
    assert worth(chosen) >= max(random) * 0.995
    assert worth(chosen) > np.quantile(random, 0.9)


def test_a_walk_begins_near_where_it_is_asked_to_and_ends_where_it_is_asked_to(city):
    made = plan_walk(city, settings("line"), near=CORNER, to=(60.1687, 24.9466), stops=4, length_m=1500)
    assert not made.walk.settings.loop
    assert len(made.route.legs_m) == len(made.walk.stops) - 1
    first, last = made.walk.stops.iloc[0], made.walk.stops.iloc[-1]
    assert abs(first.lat - CORNER[0]) < 0.001 and abs(first.lon - CORNER[1]) < 0.002
    assert abs(last.lat - 60.1687) < 0.001


def test_next_years_walk_has_the_same_stops_under_the_same_numbers(city, planned):
    write_walk(city, planned.walk)
    again = repeat_walk(city, settings("autumn-2027", repeats="autumn"))
    assert again.walk.stops.index.tolist() == planned.walk.stops.index.tolist()
    assert again.walk.stops["label"].tolist() == planned.walk.stops["label"].tolist()
    assert again.walk.stops.geometry.distance(planned.walk.stops.geometry).max() < 0.2
    assert again.walk.settings.repeats == "autumn"
    with pytest.raises(WalkError, match="has no walk 'never'"):
        repeat_walk(city, settings("x", repeats="never"))


def test_a_walk_that_was_changed_by_hand_is_looked_at(city, planned):
    walk = planned.walk
    write_walk(city, type(walk)(settings("hand"), walk.stops))
    file = walk_folder(city, "hand") / "stops.csv"
    lines = file.read_text("utf-8").splitlines()
    first = walk.stops.iloc[0]
    lines.append(f"99,Beside the first,,,{first.geometry.x + 5:.1f},{first.geometry.y:.1f},0")
    file.write_text("\n".join(lines) + "\n", "utf-8")
    notes = " ".join(check_walk(city, "hand").notes)
    assert "stops 1 and 99" in notes
    done = CliRunner().invoke(app, ["walk", "plan", str(city.path), "--id", "hand", "--check"])
    assert done.exit_code == 1 and "can be walked, but" in str(done.exception)


def test_a_stop_that_no_way_leads_to_is_named(tmp_path, planned):
    city = make_city(tmp_path / "town")
    at = (WEST + 290, SOUTH + 20)
    city.places("streets").loc[0, "geometry"] = shapely.LineString([at, (at[0] + 10, at[1])])  # meets no other
    write_walk(city, planned.walk)
    rows = [f"1,A,,,{WEST + 160},{SOUTH + 200},", f"2,B,,,{at[0] + 5},{at[1]},"]
    file = walk_folder(city, "autumn") / "stops.csv"
    file.write_text("\n".join(["stop,label,lon,lat,easting,northing,section", *rows, ""]), "utf-8")
    with pytest.raises(WalkError, match="no way on foot leads from stop 1 to 2"):
        route_of(city, read_walk(city, "autumn"))


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--id", "Bad Id", "--title", "x", "--date", "2026-11-20"], 1, "walk id"),
        (["--id", "new", "--date", "soon"], 1, "date 'soon'"),
        (["--id", "new", "--title", "x", "--date", "2026-11-20", "--near", "here"], 2, "LAT,LON"),
        (["--id", "new", "--title", "x", "--date", "2026-11-20", "--near", "10,10"], 1, "is not in Smalltown"),
        (["--id", "new", "--title", "x", "--date", "2026-11-20", "--stops", "0"], 2, "stops"),
        (["--id", "none", "--check"], 1, "has no walk 'none'"),
    ],
)
def test_what_cannot_be_planned_is_refused_with_its_reason(city, arguments, code, says):
    done = CliRunner().invoke(app, ["walk", "plan", str(city.path), *arguments])
    assert (done.exit_code, says in f"{done.exception}{done.output}") == (code, True)


def test_the_command_writes_a_walk_once_and_says_it_as_json(city):
    arguments = ["walk", "plan", str(city.path), "--id", "cli", "--title", "A walk", "--date", "2026-11-20",
                 "--stops", "3", "--length-m", "700", "--json"]  # fmt: skip
    said = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert said["campaign"] == "walk-cli" and said["length_m"] <= 700
    assert len(read_walk(city, "cli").stops) == len(said["stops"])
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1 and "already" in str(again.exception)
    assert CliRunner().invoke(app, [*arguments, "--anew"]).exit_code == 0
