"""Laws of scenario files: what is selected, when a change holds, and that all that is wrong is said at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyproj import Transformer

from analytics.scenario import parse_scenario, read_scenario
from sensors.city import City
from sensors.errors import ScenarioError
from sensors.night import Night
from tests.synthetic_city import make_city
from tests.synthetic_light import lm63_file


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    return make_city(tmp_path_factory.mktemp("town"))


def scenario(city: City, *changes: dict[str, Any], **more: Any) -> Any:
    return parse_scenario({"format": 1, "name": "try", "change": list(changes), **more}, city, "try.toml")


def lonlat(city: City, easting: float, northing: float) -> list[float]:
    to = Transformer.from_crs(city.crs, "EPSG:4326", always_xy=True)
    return [float(part) for part in to.transform(easting, northing)]


def test_lamps_are_selected_by_id_by_street_and_by_polygon(city: City) -> None:
    lamps = city.places("lamps")
    by_id = scenario(city, {"what": "remove", "lamps": ["lamp-003", "lamp-001"]}).changes[0]
    assert by_id.rows.tolist() == [1, 3]
    by_street = scenario(city, {"what": "remove", "street": "Market Street"}).changes[0]
    distance = city.places("streets").set_index("name").geometry["Market Street"].distance(lamps.geometry)
    assert len(by_street.rows) >= 8 and (lamps.geometry.iloc[by_street.rows].x.between(385_955, 385_970)).sum() >= 8
    assert distance[0] >= 0
    west, south, east, north = lamps.total_bounds
    half = (west + east) / 2 - 7.0  # between two rows of lamps
    ring = [
        lonlat(city, *corner)
        for corner in ((west - 1, south - 1), (half, south - 1), (half, north + 1), (west - 1, north + 1))
    ]
    by_polygon = scenario(city, {"what": "remove", "polygon": ring}).changes[0]
    assert set(by_polygon.rows) == set(np.flatnonzero(lamps.geometry.x < half))


def test_after_a_scenario_the_other_lamps_are_as_they_were(city: City) -> None:
    spot = lonlat(city, 385_900.0, 6_671_900.0)
    changed = scenario(
        city,
        {"what": "replace", "lamps": ["lamp-000"], "lumens": 9000, "watts": 60},
        {"what": "remove", "lamps": ["lamp-001"]},
        {"what": "add", "positions": [spot], "lumens": 5000, "watts": 40, "height_m": 6},
    )
    before, after = city.places("lamps"), changed.after.set_index("lamp")
    assert len(after) == len(before)
    assert after.loc["lamp-000", "lumens"] == 9000 and "lamp-001" not in after.index
    new = after.loc["new-3-1"]
    assert (new["row"], new["lumens"], new["source"]) == (-1, 5000, "council")
    assert abs(new.geometry.x - 385_900) < 0.01 and abs(new.geometry.y - 6_671_900) < 0.01
    rest = [lamp for lamp in before["lamp"] if lamp not in ("lamp-000", "lamp-001")]
    old = before.set_index("lamp")
    for column in ("lumens", "watts", "height_m", "geometry"):
        assert (after.loc[rest, column] == old.loc[rest, column]).all()


def test_a_dimmed_lamp_is_held_at_its_level_and_only_in_its_hours(city: City) -> None:
    night = Night.named("2026-11-20", city.zone)
    changed = scenario(city, {"what": "dim", "lamps": ["lamp-002"], "level": 0.35, "hours": ["23:00", "03:00"]})
    at = {clock: changed.levels(night, night.time_of(clock)) for clock in ("22:45", "23:00", "02:45", "03:00")}
    assert np.isnan(at["22:45"]).all() and np.isnan(at["03:00"]).all()
    assert at["23:00"][2] == at["02:45"][2] == 0.35
    assert np.isnan(np.delete(at["23:00"], 2)).all()


def test_of_two_changes_of_a_lamp_the_later_one_holds(city: City) -> None:
    night = Night.named("2026-11-20", city.zone)
    whole_night = {"what": "dim", "street": "Market Street", "level": 0.5}
    exception = {"what": "dim", "lamps": ["lamp-000"], "level": 1.0, "hours": ["22:00", "02:00"]}
    lamp = scenario(city, whole_night).changes[0].rows[0]
    exception["lamps"] = [city.places("lamps")["lamp"].iloc[lamp]]
    changed = scenario(city, whole_night, exception)
    assert changed.levels(night, night.time_of("21:45"))[lamp] == 0.5
    assert changed.levels(night, night.time_of("22:00"))[lamp] == 1.0


def test_an_added_lamp_is_dark_outside_its_hours(city: City) -> None:
    night = Night.named("2026-11-20", city.zone)
    add = {"what": "add", "positions": [lonlat(city, 385_900, 6_671_900)], "lumens": 5000, "watts": 40, "height_m": 6}
    changed = scenario(city, {**add, "hours": ["20:00", "01:00"]})
    assert np.isnan(changed.levels(night, night.time_of("00:45"))).all()
    assert changed.levels(night, night.time_of("01:00"))[-1] == 0.0


def test_everything_wrong_is_in_one_message(city: City) -> None:
    wrong = [
        {"what": "dim", "lamps": ["lamp-000", "nobody"], "level": 70},
        {"what": "blink"},
        {"what": "replace", "street": "Markt Street", "lumen": 900},
        {"what": "add", "positions": [[60.17, 24.94]], "lumens": 5},
        {"what": "dim", "polygon": [[0, 0]], "lamps": [], "level": 0.5, "hours": ["05:00", "23:00"]},
        {"what": "remove", "lamps": ["lamp-000"], "hours": ["23:00", "05:00"]},
    ]
    with pytest.raises(ScenarioError) as refused:
        scenario(city, *wrong, budget=3)
    message = str(refused.value)
    assert "np." not in message
    for part in (
        "unknown key 'budget'",
        "change 1: the city has no lamp nobody",
        "change 1: level is 70",
        "change 2: what is 'blink'",
        "change 3: 'lumen' does not go with replace",
        "change 3: the city has no street 'Markt Street'; did you mean Market Street",
        "change 3: replace needs at least one",
        "change 4: 1 positions lie outside the map",
        "change 4: lumens is 5",
        "change 4: add needs watts",
        "change 5: name the lamps by exactly one",
        "change 5: hours ['05:00', '23:00'] end before they begin",
        "change 6: 'hours' does not go with remove; use 'dim'",
    ):
        assert part in message, part


@pytest.mark.parametrize(
    ("text", "says"),
    [("format = 1\n[[change", "not TOML"), ("format = 2\n", "reads format = 1"), ("format = 1\n", "no [[change]]")],
)
def test_a_file_that_is_no_scenario_is_refused(city: City, tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(text)
    with pytest.raises(ScenarioError, match=r"plan\.toml") as refused:
        read_scenario(file, city)
    assert says in str(refused.value)
    with pytest.raises(ScenarioError, match="no scenario file"):
        read_scenario(tmp_path / "absent.toml", city)


def test_a_replaced_luminaire_brings_its_photometric_file_s_lumens_and_watts(tmp_path: Path) -> None:
    town = make_city(tmp_path)
    folder = town.path / "places" / "luminaires"
    folder.mkdir()
    text, lumens = lm63_file(watts=33.0)
    (folder / "forward.ies").write_text(text)
    change = {"what": "replace", "lamps": ["lamp-001"], "luminaire": "forward"}
    after = scenario(town, change | {"tilt_deg": 5}).after.set_index("lamp").loc["lamp-001"]
    assert after["lumens"] == pytest.approx(lumens, rel=0.01)
    assert (after["watts"], after["tilt_deg"]) == (33.0, 5.0)
    assert scenario(town, change | {"lumens": 2000}).after.set_index("lamp").loc["lamp-001", "lumens"] == 2000.0
    unknown = {"what": "replace", "lamps": ["lamp-001"], "luminaire": "backward"}
    with pytest.raises(ScenarioError, match=r"luminaire .backward. has no file in places/luminaires; put backward"):
        scenario(town, unknown)
