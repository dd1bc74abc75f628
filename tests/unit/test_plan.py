"""Laws of planning: nothing changed is no difference, more light is never less, and sums carry their interval."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from pyproj import Transformer

from analytics import atlas
from analytics.closing import Desk
from analytics.model import fit
from analytics.plan import Interval, Planned, first_look, passage_weights, plan, table_text
from analytics.scenario import parse_scenario
from sensors.city import City, write_settings
from sensors.night import Night
from sensors.reading import empty_records
from tests.journeys.test_replay_equals_live import write_answers
from tests.synthetic_city import make_city
from tests.synthetic_light import lm63_file


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A town with answers and a model, planned from 20:00 to 21:00, its lamps at 70 % from 20:30."""
    city = make_city(tmp_path_factory.mktemp("plan") / "town")
    night = msgspec.structs.replace(city.settings.night, to="21:00")
    lighting = msgspec.structs.replace(city.settings.lighting, schedule=(("16:00", 1.0), ("20:30", 0.7)))
    write_settings(city.path, msgspec.structs.replace(city.settings, night=night, lighting=lighting))
    city = City.open(city.path)
    evening = Night.named("2026-11-20", city.zone)
    write_answers(city, evening)
    fit(city, evening)
    return Desk.open(city)


def planned(desk: Desk, *changes: dict[str, Any], name: str = "try") -> Planned:
    city = desk.city
    scenario = parse_scenario({"format": 1, "name": name, "change": list(changes)}, city, "try.toml")
    [result] = plan(city, [scenario], _typical(city), desk=desk)
    return result


def _typical(city: City) -> Night:
    return Night.named("2026-11-20", city.zone)


def test_a_scenario_that_leaves_everything_as_it_is_changes_nothing_at_all(desk: Desk) -> None:
    lamps = desk.city.places("lamps")
    same = {"what": "replace", "lamps": ["lamp-000"], "lumens": float(lamps["lumens"].iloc[0])}
    result = planned(desk, same, name="same")
    assert result.energy_kwh == 0 and result.passages_there == 0 and result.passages.value is None
    page, _ = atlas.open_plan(desk.city, "same")
    assert (page["illuminance_change"].values == 0).all()
    assert np.nanmax(np.abs(page["safety_change"].values)) == 0
    assert (page["safety_change_clear"].values == 0).all()


def test_dimming_gives_less_light_and_less_energy_and_full_light_the_opposite(desk: Desk) -> None:
    less = planned(desk, {"what": "dim", "street": "Market Street", "level": 0.2}, name="less")
    more = planned(
        desk, {"what": "dim", "street": "Market Street", "level": 1.0, "hours": ["20:30", "21:00"]}, name="more"
    )
    assert less.illuminance.value < 0 < more.illuminance.value  # type: ignore[operator]
    assert less.energy_kwh < 0 < more.energy_kwh
    for result in (less, more):
        low, value, high = (getattr(result.illuminance, end) for end in ("low", "value", "high"))
        assert low < value < high


def test_energy_of_dimming_is_what_the_formula_says(desk: Desk) -> None:
    lamps = desk.city.places("lamps")
    off = planned(desk, {"what": "dim", "lamps": ["lamp-005"], "level": 0.0}, name="off")
    gone = planned(desk, {"what": "remove", "lamps": ["lamp-005"]}, name="gone")
    assert off.energy_kwh == gone.energy_kwh < 0
    watts = float(lamps["watts"].iloc[5])
    half_hours = (0.08 + 0.92 * 0.5) - (0.08 + 0.92 * 0.7)
    dim = planned(desk, {"what": "dim", "lamps": ["lamp-005"], "level": 0.5, "hours": ["22:00", "23:00"]}, name="dim")
    assert dim.energy_kwh == pytest.approx(watts * half_hours / 1000, abs=1e-3)


def test_light_of_two_scenarios_far_apart_adds_up_and_reaches_only_so_far(desk: Desk) -> None:
    one = {"what": "remove", "lamps": ["lamp-000"]}
    two = {"what": "remove", "lamps": ["lamp-065"]}
    for changes, name in (([one], "one"), ([two], "two"), ([one, two], "both")):
        planned(desk, *changes, name=name)
    change = {
        name: atlas.open_plan(desk.city, name)[0]["illuminance_change"].values[0] for name in ("one", "two", "both")
    }
    assert np.allclose(change["both"], change["one"] + change["two"], atol=2e-3 * np.abs(change["both"]).max())
    lamp = desk.city.places("lamps").geometry.iloc[0]
    grid = desk.surroundings.grid
    east, north = np.meshgrid(grid.easting, grid.northing)
    far = np.hypot(east - lamp.x, north - lamp.y) > 75
    assert (change["one"][far] == 0).all() and change["one"].min() < -0.1


def test_where_the_interval_covers_no_change_the_page_says_so(desk: Desk) -> None:
    result = planned(desk, {"what": "dim", "street": "Market Street", "level": 0.1}, name="grey")
    page, meta = atlas.open_plan(desk.city, "grey")
    low, high = page["safety_change_low"].values, page["safety_change_high"].values
    covers = (low <= 0) & (high >= 0)
    assert (page["safety_change_clear"].values[covers] == 0).all()
    assert (page["safety_change_clear"].values[np.isfinite(low) & ~covers] == 1).all()
    assert meta["table"][0]["passages"] == result.passages.value and meta["simulated"] is True
    assert "passages, not persons" in meta["table"][0]["note"]


def test_the_interval_of_the_sum_is_correlated_and_not_that_of_two_maps(desk: Desk) -> None:
    """Were both sides independent, the interval of the mean change would be as wide as the maps' own sd; it is not."""
    result = planned(desk, {"what": "dim", "street": "Market Street", "level": 0.6}, name="narrow")
    assert result.safety.value is not None and result.safety.low is not None and result.safety.high is not None
    page = desk.page(empty_records(), _typical(desk.city).time_of("20:00"))
    own_sd = float(np.nanmedian(page["safety_sd"].values))
    assert (result.safety.high - result.safety.low) / 2 < own_sd


def test_each_section_counts_once_as_a_passage(desk: Desk) -> None:
    weight = passage_weights(desk.city, desk.surroundings)
    sections = len(desk.city.places("sections"))
    assert weight.sum() <= sections + 1e-9
    assert weight.sum() > 0.8 * sections  # a part of the streets lies under houses of this made-up town
    assert (weight[desk.surroundings.indoor] == 0).all()


def test_the_first_look_is_the_step_of_the_night_that_is_computed_after_it(desk: Desk) -> None:
    change = {"what": "dim", "street": "Market Street", "level": 0.2}
    content = {"format": 1, "name": "look", "change": [change]}
    scenario = parse_scenario(content, desk.city, "try.toml")
    first_look(desk.city, scenario, desk, "20:30")
    look, meta = atlas.open_plan(desk.city, "look")
    assert meta["preview"] and meta["table"] == [] and len(meta["steps"]) == 1
    plan(desk.city, [scenario], desk=desk)
    same, meta = atlas.open_plan(desk.city, "look", look["time"].values[0])
    assert not meta.get("preview") and len(meta["steps"]) == 4
    for name in ("illuminance_change", "safety_change", "safety_change_clear"):
        np.testing.assert_array_equal(look[name].values, same[name].values)


def test_an_added_lamp_brightens_its_place(desk: Desk) -> None:
    to = Transformer.from_crs(desk.city.crs, "EPSG:4326", always_xy=True)
    spot = [float(part) for part in to.transform(385_964.0, 6_672_046.0)]
    add = {"what": "add", "positions": [spot], "lumens": 8000, "watts": 60, "height_m": 6}
    result = planned(desk, add, name="add")
    page, _ = atlas.open_plan(desk.city, "add")
    row, column, _ = desk.surroundings.grid.cells(np.array([385_964.0]), np.array([6_672_046.0]))
    assert page["illuminance_change"].values[0].max() == page["illuminance_change"].values[0][row[0], column[0]] > 1
    assert result.lamps_added == 1 and result.energy_kwh > 0


def test_the_table_tells_passages_to_two_digits_since_footfall_is_known_no_better() -> None:
    unknown = Interval(None, None, None)
    passages = Interval(-1332.4, -1914.2, -750.0)
    result = Planned(
        "a", "A", "2026-11-20", True, 1, 0, 0, unknown, unknown, passages, 161_973.0, 0.0, 0.0, 1.0, 0, True, ""
    )
    said = table_text([result])
    assert "-1,300 a night (-1,900 to -750)" in said
    assert "of 160,000 passages" in said


def test_another_luminaire_changes_the_light_by_its_photometric_file(desk: Desk) -> None:
    """A file that throws to the street only, with the lumens of the lamps as they are: as much light, elsewhere."""
    folder = desk.city.path / "places" / "luminaires"
    folder.mkdir(exist_ok=True)
    (folder / "forward.ies").write_text(lm63_file()[0])
    street = {"what": "replace", "street": "Market Street", "lumens": 6000, "watts": 40}
    plain = planned(desk, street, name="plain")
    filed = planned(desk, street | {"luminaire": "forward"}, name="filed")
    assert plain.energy_kwh == filed.energy_kwh
    assert filed.illuminance.value != plain.illuminance.value
    own = planned(desk, {"what": "replace", "street": "Market Street", "luminaire": "forward"}, name="own")
    assert own.illuminance.value is not None and own.illuminance.value < 0  # 1,571 lm after 4,000 and more
    assert own.energy_kwh != plain.energy_kwh
