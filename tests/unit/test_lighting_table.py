import csv
import io
import json
import math
import shutil
from dataclasses import replace

import geopandas
import msgspec
import numpy as np
import pytest
import shapely
from shapely.geometry import LineString, Point
from typer.testing import CliRunner

import noctule
from analytics.grid import Grid
from analytics.knowledge import learn_from
from analytics.lighting_classes import Method
from analytics.lighting_table import lighting_table
from analytics.measured_light import Places, surveyed
from analytics.section_light import lamps_beside, section_light, section_points, within_reach
from analytics.street_light import Lambert, Luminaires, calculation_grid, street_light
from analytics.surroundings import lay_out
from sensors.city import City, LightingSettings, read_settings, write_settings
from sensors.errors import LightingError
from sensors.light_survey import SURVEY_COLUMNS, Terms, save_survey
from sensors.luminaire import Luminaire
from sensors.night import Night
from sensors.places import empty_place, save_place
from sensors.quantities import QUANTITIES
from sensors.reading import empty_records, sort_by_key
from tests.shared_data import shared_data
from tests.synthetic_city import SOUTH, WEST, make_city


def luminaire(name="plate.ldt", lumens=4000.0) -> Luminaire:
    """A flat plate as a file would have it, every half degree."""
    gamma = np.arange(0.0, 90.25, 0.25)
    candela = lumens / math.pi * np.cos(np.radians(gamma))[None]
    return Luminaire(
        name, "EULUMDAT", np.zeros(1), gamma, candela, lumens, 1000.0, 1.0, 1.0, 0.0, 30.0, "axial", (0.3, 0.3, 0.0)
    )  # fmt: skip


@pytest.fixture
def town(tmp_path) -> City:
    return make_city(tmp_path / "town")


def files(city, *, source="council", name="plate.ldt"):
    """The town with a photometric file for each lamp."""
    lamps = city.places("lamps")
    lamps["luminaire"], lamps["source"] = name, source
    save_place(city.path, "lamps", lamps)
    return City.open(city.path)


def around(city):
    """The town's surroundings with its file's light."""
    names = ("sites", "lamps", "streets", "buildings", "venues", "stops", "traffic")
    return lay_out(
        Grid.of(city),
        {table: city.places(table) for table in names},
        zone=city.settings.zone,
        lonlat=city.centre_lonlat(),
        lighting=city.settings.lighting,
        luminaires={"plate.ldt": luminaire()},
    )


def table_of(city, **changes):
    opened = around(city)
    return lighting_table(city, around=opened, knowledge=learn_from([], opened), **changes)


def street(lines, kinds=None):
    return geopandas.GeoDataFrame({"section": range(len(lines))}, geometry=lines, crs="EPSG:3067")


def row_of_lamps(city, positions, height=6.0):
    """Surroundings with a Lambert lamp of 4000 lm at each place."""
    n = len(positions)
    columns = {
        "lamp": [f"{place:04d}" for place in range(n)], "lumens": [4000.0] * n, "mf": [0.8] * n,
        "height_m": [height] * n, "watts": [30.0] * n, "luminaire": ["lambert"] * n, "source": ["council"] * n,
    }  # fmt: skip
    lamps = geopandas.GeoDataFrame(columns, geometry=[Point(place) for place in positions], crs=city.crs)
    places = {
        name: empty_place(name, city.crs) for name in ("sites", "streets", "buildings", "venues", "stops", "traffic")
    }
    return lay_out(
        Grid.of(city),
        places | {"lamps": lamps},
        zone="Europe/Helsinki",
        lonlat=(24.9, 60.2),
        lighting=LightingSettings(),
    )


@pytest.mark.parametrize("bearing", [0.0, 37.0, 90.0, 215.0])
def test_a_straight_section_has_the_points_and_the_light_of_a_street_of_the_standard(town, bearing):
    turn = np.array([[math.sin(math.radians(bearing)), math.cos(math.radians(bearing))], [-math.cos(math.radians(bearing)), math.sin(math.radians(bearing))]])  # fmt: skip  # noqa: E501
    origin = np.array([WEST + 150.0, SOUTH + 150.0])
    # Two lamps within reach; along the street is the first row of `turn`, to its left the second.
    along, across = np.array([0.0, 25.0]), np.array([-3.0, -3.0])
    positions = origin + along[:, None] * turn[0] + across[:, None] * turn[1]
    surround = row_of_lamps(town, positions)
    line = LineString([origin, origin + 25.0 * turn[0]])
    points = section_points(street([line]), np.array([7.0]))
    found = section_light(surround, points, np.ones(2), np.zeros(2), np.zeros(2, bool))
    lamps = Luminaires(along, across + 3.5, np.full(2, 6.0), np.ones(2), np.full(2, 90.0), np.zeros(2))
    exact = street_light(Lambert(4000.0), lamps, calculation_grid(25.0, 7.0), maintenance_factor=0.8)
    assert points.easting.size == exact.horizontal.size == 50
    assert found.average[0] == pytest.approx(exact.horizontal.mean(), abs=5e-4)
    assert found.lowest[0] == pytest.approx(exact.horizontal.min(), abs=5e-4)
    faces = min(exact.semicylindrical_forward.min(), exact.semicylindrical_back.min())
    assert found.semicylindrical[0] == pytest.approx(faces, abs=5e-4)
    assert points.bearing == pytest.approx(np.full(50, bearing), abs=1e-6)


def test_a_tilted_file_lights_a_section_of_a_city_as_it_lights_a_street_of_the_standard(town):
    """Two programs that share no formula: the kernels of the map, and the sums of `street_light`."""
    c, gamma = np.arange(0.0, 360.0, 15.0), np.arange(0.0, 91.0, 5.0)
    candela = (300 + 200 * np.sin(np.radians(c - 20)))[:, None] * np.cos(np.radians(gamma)) ** 0.5 + 10
    lantern = replace(luminaire(), c_deg=c, gamma_deg=gamma, candela=candela, symmetry="none")  # C = 90 to the street
    west, south = WEST + 150.0, SOUTH + 150.0
    line = LineString([(west, south), (west + 30.0, south)])
    streets = geopandas.GeoDataFrame(
        {"street": [0], "name": [""], "kind": ["residential"], "walkable": [True], "lit": ["yes"], "width_m": [7.0]},
        geometry=[line], crs=town.crs,
    )  # fmt: skip
    lamps = geopandas.GeoDataFrame(
        {
            "lamp": ["a", "b"], "lumens": [np.nan] * 2, "mf": [0.8] * 2, "height_m": [8.0] * 2, "watts": [30.0] * 2,
            "luminaire": ["lantern"] * 2, "source": ["council"] * 2, "tilt_deg": [5.0] * 2,
        },
        geometry=[Point(west, south - 2.5), Point(west + 30.0, south - 2.5)], crs=town.crs,
    )  # fmt: skip
    empty = {name: empty_place(name, town.crs) for name in ("sites", "buildings", "venues", "stops", "traffic")}
    surround = lay_out(
        Grid.of(town), {**empty, "streets": streets, "lamps": lamps}, zone="Europe/Helsinki", lonlat=(24.9, 60.2),
        lighting=LightingSettings(), luminaires={"lantern": lantern.towards_street("street-c90", 0.0)},
    )  # fmt: skip
    found = section_light(
        surround, section_points(street([line]), np.array([7.0])), np.ones(2), np.zeros(2), np.zeros(2, bool)
    )
    both = Luminaires(
        np.array([0.0, 30.0]), np.full(2, 1.0), np.full(2, 8.0), np.ones(2), np.full(2, 90.0), np.full(2, 5.0)
    )
    exact = street_light(lantern, both, calculation_grid(30.0, 7.0), maintenance_factor=0.8, orientation="street-c90")
    assert found.average[0] == pytest.approx(exact.horizontal.mean(), rel=1e-9)
    assert found.lowest[0] == pytest.approx(exact.horizontal.min(), rel=1e-9)
    faces = min(exact.semicylindrical_forward.min(), exact.semicylindrical_back.min())
    assert found.semicylindrical[0] == pytest.approx(faces, rel=1e-9)


def test_points_of_a_bent_street_lie_within_its_width_and_each_section_has_its_own():
    bent = LineString([(0, 0), (30, 0), (30, 30)])
    short = LineString([(100, 0), (100, 0.05)])
    points = section_points(street([bent, short]), np.array([6.0, np.nan]))
    count = np.diff(np.append(points.first, points.easting.size))
    assert count.tolist() == [20 * 4, 10 * 6]  # 60 m: a point every 3 m; a width nobody knows is 8 m
    places = shapely.points(points.easting, points.northing)
    assert np.all(shapely.distance(places[:80], bent) <= 3.0)
    assert np.all(shapely.distance(places[80:], short) <= 4.0)
    assert points.easting.size == points.bearing.size
    none = section_points(street([]), np.empty(0))
    assert none.first.size == none.easting.size == 0


def test_a_lamp_twice_as_bright_doubles_and_an_error_widens(town):
    surround = row_of_lamps(town, [(WEST + 100.0, SOUTH + 100.0)])
    points = section_points(street([LineString([(WEST + 90, SOUTH + 95), (WEST + 120, SOUTH + 95)])]), np.array([6.0]))
    full = section_light(surround, points, np.ones(1), np.zeros(1), np.ones(1, bool))
    half = section_light(surround, points, np.full(1, 0.5), np.full(1, 0.4), np.ones(1, bool))
    assert half.average == pytest.approx(full.average / 2)
    assert half.average_sd[0] == pytest.approx(math.hypot(full.average_sd[0], 0.4))
    assert (full.defaults[0], half.defaults[0]) == (1.0, 1.0)


def test_lamps_beside_and_within_reach_are_counted(town):
    surround = row_of_lamps(town, [(WEST + 100.0, SOUTH + 100.0), (WEST + 110.0, SOUTH + 100.0)])
    near = LineString([(WEST + 90, SOUTH + 95), (WEST + 120, SOUTH + 95)])
    far = LineString([(WEST + 90, SOUTH + 300), (WEST + 120, SOUTH + 300)])
    sections = street([near, far])
    lamps, out = lamps_beside(sections, surround, np.array([1.0, 0.0]))
    assert (lamps.tolist(), out.tolist()) == ([2, 0], [1, 0])
    assert within_reach(section_points(sections, np.full(2, 6.0)), surround).tolist() == [True, False]


def test_nothing_is_decided_without_photometric_files(town):
    table = lighting_table(town, hours=["23:00"])
    assert set(table.rows.verdict) == {"cannot tell"}
    assert set(table.rows.photometry) == {"default"}
    assert table.rows.reason.str.contains("no photometric file|a default, not a photometric file").all()
    assert table.rows.margin.notna().all()


def stated(city, name="P3", source="council"):
    sections = city.places("sections")
    sections["required_class"], sections["class_source"] = name, source
    save_place(city.path, "sections", sections)
    return City.open(city.path)


def test_with_files_and_stated_classes_sections_are_decided_by_calculation(town):
    rows = table_of(stated(files(town), "P1"), hours=["20:00", "23:00"]).rows
    assert set(rows.photometry) == {"file"}
    assert set(rows.method) == {"design"}
    assert "does not meet the values" in set(rows.verdict)
    misses = rows[rows.verdict == "does not meet the values"]
    assert ((misses.E_avg_high < 15.0) | (misses.E_min_high < 3.0)).all()
    assert not rows.verdict.str.contains("compl").any()
    # The schedule dims to 0.7 at 23:00.
    full, dimmed = (rows[rows.hour == hour].E_avg.to_numpy() for hour in ("20:00", "23:00"))
    assert dimmed == pytest.approx(0.7 * full)


def test_a_photometric_file_in_the_city_s_folder_decides(town):
    file = shared_data("photometry") / "road_luminaire.ldt"
    folder = town.path / "places" / "luminaires"
    folder.mkdir()
    shutil.copy(file, folder)
    rows = lighting_table(stated(files(town, name="road_luminaire"), "P1"), hours=["20:00"]).rows
    assert set(rows.photometry) == {"file"}
    assert set(rows.verdict) - {"cannot tell"}


def test_over_lit_sections_say_so(town):
    rows = table_of(stated(files(town), "P6"), hours=["20:00"]).rows
    over = rows[rows.over_lit.fillna(False)]
    assert len(over)
    assert (over.E_avg_low > 3.0).all()
    assert set(over.verdict) <= {"over-lit", "cannot tell", "does not meet the values"}


def test_positions_that_are_assumed_decide_nothing_even_with_a_file(town):
    rows = table_of(stated(files(town, source="assumed")), hours=["23:00"]).rows
    assert set(rows.verdict) == {"cannot tell"}


def test_motor_classes_are_not_assessed(town):
    rows = table_of(stated(files(town), "M4"), hours=["23:00"]).rows
    assert set(rows.verdict) == {"not assessed"}


def test_without_a_class_nothing_is_required(town):
    rows = table_of(stated(files(town), ""), hours=["23:00"]).rows
    assert set(rows.verdict) == {"nothing required"}


def test_what_the_city_states_in_its_own_table_counts_and_faces_get_a_verdict(town):
    city = files(town)
    table = city.path / "places" / "required_classes.csv"
    table.write_text("name,required_class,required_by_hour,required_sc\nSouth Street,P2,23:00 P5; 05:00 P2,SC9\n")
    rows = table_of(city, hours=["22:00", "23:00"]).rows
    south = rows[rows.name == "South Street"]
    assert south.required.tolist() == ["P2"] * 4 + ["P5"] * 4
    assert set(south.required_source) == {"stated"}
    assert (south.required_least == south.required_most).all()
    assert set(south.verdict_sc) <= {"meets the values", "does not meet the values", "cannot tell"}
    assert set(rows[rows.name != "South Street"].verdict_sc) == {""}
    decided = south[south.verdict_sc == "does not meet the values"]
    assert (decided.Esc_min < 0.5).all()


def test_an_unknown_class_is_refused_by_name(town):
    with pytest.raises(LightingError, match="required_class 'S4' of 24 sections"):
        table_of(stated(town, "S4"), hours=["23:00"])


def test_a_class_that_rests_on_assumed_footfall_is_told_only_if_all_that_may_be_required_agree(town):
    rows = table_of(stated(files(town), "P4", "assumed"), hours=["23:00"]).rows
    by_use = rows[rows.required_how.str.startswith("CEN/TR")]
    assert len(by_use) == 20  # all but Middle Road, a secondary street
    assert set(by_use.required_least + by_use.required_most) == {"P4P2"}  # nobody ever counted here
    for row in by_use.itertuples():
        if row.verdict == "does not meet the values":
            assert row.E_avg_high < 5.0 or row.E_min_high < 1.0  # not even P4
        else:
            assert row.verdict == "cannot tell"
    assert by_use.reason.str.contains("footfall is too uncertain: P4 to P2").any()


def said(city, quantity, value, sites=None, minutes=5):
    """A record of every site of a quantity, some minutes after 20:00 UTC (22:00 in Helsinki)."""
    register = city.places("sites")
    numbers = register.site[register.quantity == quantity].to_numpy() if sites is None else np.array(sites)
    records = empty_records(len(numbers))
    records["time"] = records["received"] = np.datetime64("2026-11-20T20:00", "ms") + np.timedelta64(minutes, "m")
    records["site"], records["quantity"], records["value"] = numbers, QUANTITIES[quantity].code, value
    records["duration_s"] = 300.0
    return records


@pytest.fixture
def with_records(monkeypatch):
    """Give the table a night's records."""

    def give(*parts):
        records = sort_by_key(np.concatenate(parts))
        monkeypatch.setattr("ingest.archive.night_records", lambda city, night: records)

    return give


def test_reported_dimming_and_failures_make_it_inferred(town, with_records):
    city = stated(files(town))
    night = Night.named("2026-11-20", city.zone)
    design = table_of(city, hours=["22:00"]).rows
    with_records(said(city, "dimming", 0.5))
    dimmed = table_of(city, hours=["22:00"], night=night)
    assert dimmed.method is Method.INFERRED
    assert set(dimmed.rows.method) == {"inferred"}
    assert dimmed.rows.E_avg.to_numpy() == pytest.approx(0.5 * design.E_avg.to_numpy())
    assert dimmed.simulated  # the town's controllers are
    with_records(said(city, "dimming", 1.0), said(city, "lamp_ok", 0.0))
    dead = table_of(city, hours=["22:00"], night=night).rows
    assert (dead.E_avg == 0).all()
    assert (dead.lamps == dead.lamps_out).all()
    assert set(dead[dead.lamps > 0].verdict) <= {"does not meet the values", "cannot tell"}


def test_by_day_nothing_is_assessed_from_what_lamps_report(town, with_records):
    city = stated(files(town))
    with_records(said(city, "dimming", 0.0, minutes=-60 * 8 + 30))
    rows = table_of(city, hours=["15:00"], night=Night.named("2026-11-20", city.zone)).rows
    assert set(rows.verdict) == {"not assessed"}
    assert set(rows.reason) == {"it is not dark then"}


def survey(city, lux, *, plane="horizontal", height_m=0.1, hour="20:30", name="walk", at_least=False):
    """Values along South Street, 60 m from the southern edge, a cell every ten metres."""
    import pandas as pd

    east = np.arange(WEST + 5.0, WEST + 320.0, 10.0)
    cells = pd.DataFrame(
        {
            "easting": east,
            "northing": np.full(east.size, SOUTH + 65.0),
            "time": np.datetime64(f"2026-10-30T{hour}", "ms"),
            "lux": lux,
            "readings": 3,
            "spread": 0.1,
            "at_least": at_least,
        }
    ).astype(SURVEY_COLUMNS)
    terms = Terms(
        survey=name, plane=plane, height_m=height_m, sd=0.2, gain_sd=0.1, crs=city.crs, cell_m=10.0, digest=name
    )
    save_survey(city, terms, cells)
    return City.open(city.path)


def test_a_survey_stands_beside_what_is_computed_and_its_method_is_its_own(town):
    city = survey(stated(files(town), "P1"), 2.0)
    rows = table_of(city, hours=["22:00"]).rows
    seen = rows[rows.measured_lx.notna()]
    # The streets that cross it have one cell each, which is no average of theirs.
    assert set(seen[seen.measured_values < 3].measured_verdict) == {"cannot tell"}
    seen = seen[seen.measured_values >= 3]
    assert set(seen.name) == {"South Street"}
    assert seen.measured_lx.to_numpy() == pytest.approx(np.full(len(seen), 2.0))
    assert set(seen.measured_verdict) == {"does not meet the values"}
    assert set(seen.measured_by) == {"survey walk (horizontal)"}
    assert (seen.measured_low < 2.0).all()
    assert set(rows[rows.measured_lx.isna()].measured_verdict) == {""}


def test_a_measured_average_alone_never_meets_a_class(town):
    city = survey(stated(files(town), "P6"), 2.8)
    seen = table_of(city, hours=["22:00"]).rows.dropna(subset="measured_lx")
    assert set(seen.measured_verdict) == {"cannot tell"}
    assert seen.measured_reason.str.contains("E_min is not known").all()


def test_a_measurement_counts_for_hours_of_the_same_scheduled_level_only(town):
    city = survey(stated(files(town), "P1"), 2.0)  # at 22:30 local, full light
    rows = table_of(city, hours=["20:00", "22:00", "23:00", "02:00"]).rows
    assert set(rows[rows.measured_lx.notna()].hour) == {"20:00", "22:00"}


def test_the_interval_of_a_mean_knows_how_few_places_it_rests_on(town):
    # The wide one has a second survey's values: bright and dark in turn, with the same mean of ln.
    city = survey(stated(files(town), "P1"), 2.0)
    city = survey(city, np.where(np.arange(32) % 2, 4.0, 1.0), name="uneven")
    seen = surveyed(city, Places(city.places("sections"), np.full(24, 8.0)))
    even, uneven = (seen[seen.source.str.contains(name) & (seen.places >= 5)] for name in ("walk", "uneven"))
    width = np.log(even.high / even.low).iloc[0] / (2 * 1.645)
    assert width == pytest.approx(math.hypot(0.1, 0.2 / math.sqrt(even.places.iloc[0])))
    assert (np.log(uneven.high / uneven.low).to_numpy() > 2 * np.log(even.high / even.low).to_numpy()).all()
    alone = seen[seen.places == 1]
    assert len(alone)
    assert (alone.high / alone.low > 10).all()


@pytest.mark.parametrize("change", [{"plane": "vertical"}, {"height_m": 1.5}])
def test_a_survey_of_another_plane_or_height_decides_nothing(town, change):
    city = survey(stated(files(town), "P1"), 2.0, **change)
    seen = table_of(city, hours=["22:00"]).rows.dropna(subset="measured_lx")
    assert set(seen.measured_verdict) <= {"cannot tell"}
    assert bool(len(seen)) == (change.get("plane") != "vertical")


def test_at_the_end_of_an_instrument_there_is_no_upper_end(town):
    city = survey(stated(files(town), "P1"), 2.0, at_least=True)
    seen = surveyed(city, Places(city.places("sections"), np.full(24, 8.0)))
    assert np.isinf(seen.high).all()
    rows = table_of(city, hours=["22:00"]).rows.dropna(subset="measured_lx")
    assert set(rows.measured_verdict) == {"cannot tell"}


def test_lux_sensors_on_the_ground_are_measurements_and_pole_tops_are_not(town, with_records):
    city = stated(files(town), "P1")
    night = Night.named("2026-11-20", city.zone)
    with_records(said(city, "illuminance", 3.0))
    rows = table_of(city, hours=["22:00"], night=night).rows
    assert rows.measured_lx.notna().sum() == 4
    sites = city.places("sites")
    sites["height_m"] = np.where(sites.quantity == "illuminance", 5.0, sites.height_m)
    save_place(city.path, "sites", sites)
    rows = table_of(City.open(city.path), hours=["22:00"], night=night).rows
    assert rows.measured_lx.isna().all()


def test_every_hour_of_the_window_has_every_section(town):
    rows = lighting_table(town).rows
    assert rows.groupby("hour").size().to_dict() == {f"{hour % 24:02d}:00": 24 for hour in range(20, 30)}


@pytest.mark.parametrize("date, hours", [("2026-10-24", 11), ("2027-03-27", 9)])
def test_nights_of_a_change_of_clocks_have_their_real_hours(town, date, hours):
    told = []
    table = lighting_table(town, night=Night.named(date, town.zone), progress=lambda done, of: told.append((done, of)))
    assert table.rows.time.nunique() == hours
    assert told[-1] == (hours, hours)
    assert sum(line[2:3] == ":" for line in table.text().splitlines()) == hours
    assert table.method is Method.DESIGN  # no lamp reported in that night


def test_a_threshold_of_the_city_moves_the_class(town):
    settings = read_settings(town.path / "city.toml")
    lighting = msgspec.structs.replace(settings.lighting, busy_from=0.0, quiet_below=0.0)
    write_settings(town.path, msgspec.structs.replace(settings, lighting=lighting))
    rows = lighting_table(City.open(town.path), hours=["23:00"]).rows
    assert set(rows.use) == {"busy"}


def run(*arguments):
    return CliRunner().invoke(noctule.app, ["lighting", *map(str, arguments)])


def test_the_command_in_all_its_forms(town, tmp_path):
    sections = town.places("sections")
    sections["name"] = "=1+1"
    save_place(town.path, "sections", sections)
    said_words = run(town.path, "--hour", "23:00")
    assert said_words.exit_code == 0, said_words.output
    assert "cannot tell" in said_words.output
    assert "provisional" in said_words.output
    content = json.loads(run(town.path, "--hour", "23:00", "--json").stdout)
    assert len(content["rows"]) == 24
    assert content["method"] == "design"
    files_ = tmp_path / "l.csv", tmp_path / "l.geojson"
    done = run(town.path, "--hour", "23:00", "--csv", files_[0], "--geojson", files_[1])
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(io.StringIO(files_[0].read_text())))
    assert {row["name"] for row in rows} == {"'=1+1"}
    assert 24.0 < float(rows[0]["longitude"]) < 26.0
    assert len(rows[0]["longitude"].split(".")[1]) == 6
    drawn = json.loads(files_[1].read_text())
    assert drawn["attribution"] == content["attribution"] == ["Made up for tests"]
    features = drawn["features"]
    assert len(features) == 24
    assert features[0]["geometry"]["type"] == "LineString"


@pytest.mark.parametrize(
    "arguments", [("--hour", "25:00"), ("--hour", "now"), ("--csv", "/nowhere/x.csv"), ("--night", "x")]
)
def test_what_cannot_be_is_refused_in_a_sentence(town, arguments):
    result = run(town.path, *arguments)
    assert result.exit_code in (1, 2)
    assert result.exception is None or "Error" in type(result.exception).__name__ or result.exit_code == 2
