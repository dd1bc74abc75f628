"""Laws of the city folder: what is written is read, and everything wrong is said at once."""

import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from sensors.city import City, read_settings, write_settings
from sensors.clock import city_clock, clear_clock, set_clock
from sensors.errors import CityError, StoreError
from sensors.journal import Entry, add_entry, import_entries, journal_csv, read_journal
from sensors.places import PLACES, check_city, empty_place, table_problems
from sensors.register import SiteRegister, add_site, move_site, retire_site
from tests.synthetic_city import make_city


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return make_city(tmp_path_factory.mktemp("town"))


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path / "town")


def test_a_written_city_opens_as_it_was_written(built):
    again = City.open(built.path)
    assert again.settings == built.settings
    assert check_city(built.path) == []


def test_a_group_with_a_sign_in_its_name_survives_being_written(city):
    shares = {"gender.woman": 0.5, "age_band.65+": 0.2}
    write_settings(city.path, msgspec.structs.replace(city.settings, group_shares=shares))
    assert City.open(city.path).settings.group_shares == shares


def test_an_unknown_setting_is_refused_by_name(city):
    file = city.path / "city.toml"
    file.write_text(file.read_text().replace("simulated = true", "simulated = true\nsimulatedd = true"))
    with pytest.raises(CityError, match="simulatedd"):
        City.open(city.path)


def test_everything_wrong_with_the_settings_is_in_one_message(city):
    file = city.path / "city.toml"
    text = file.read_text().replace('"Europe/Helsinki"', '"Europe/Nowhere"').replace('"EPSG:3067"', '"EPSG:4326"')
    file.write_text(text.replace('"smalltown"', '"Small Town"').replace("cell_m = 10.0", "cell_m = 7.0", 1))
    with pytest.raises(CityError) as refusal:
        read_settings(file)
    for word in ("Europe/Nowhere", "EPSG:4326", "Small Town", "multiple"):
        assert word in str(refusal.value)


def test_what_is_not_a_city_folder_is_said(tmp_path):
    with pytest.raises(CityError, match="no city folder"):
        City.open(tmp_path / "nowhere")
    with pytest.raises(CityError, match=r"has no city\.toml"):
        City.open(tmp_path)


@pytest.mark.parametrize("name", [name for name, table in PLACES.items() if not table.optional])
def test_a_missing_table_is_named(city, name):
    (city.path / "places" / f"{name}.parquet").unlink()
    problems = check_city(city.path)
    assert any(f"{name}.parquet is missing" in problem for problem in problems)


def test_a_damaged_table_is_named(city):
    (city.path / "places" / "lamps.parquet").write_bytes(b"PAR1 but not really")
    assert any("lamps.parquet cannot be read" in problem for problem in check_city(city.path))


def test_a_missing_optional_table_is_an_empty_one(city):
    (city.path / "places" / "areas.parquet").unlink()
    assert check_city(city.path) == []
    assert len(City.open(city.path).places("areas")) == 0


@pytest.mark.parametrize("name", PLACES)
def test_an_empty_table_has_the_right_columns(name):
    assert table_problems(name, empty_place(name, "EPSG:3067"), "EPSG:3067") == []


def test_a_simulated_site_in_a_real_city_is_found(tmp_path):
    city = make_city(tmp_path / "town")
    file = city.path / "city.toml"
    file.write_text(file.read_text().replace("simulated = true", "simulated = false"))
    assert any("lacks 'simulated = true'" in problem for problem in check_city(city.path))


def test_a_moved_sensor_keeps_the_place_of_its_old_readings(city):
    before = np.datetime64("2026-11-20T12:00", "ms")
    row = SiteRegister.load(city).table.iloc[0]
    number = move_site(city, int(row.site), easting=row.geometry.x + 5, northing=row.geometry.y, since=before)
    register = SiteRegister.load(city)
    second = np.timedelta64(1, "s")
    assert register.site(row.device, row.quantity, before - second) == row.site
    assert register.site(row.device, row.quantity, before) == number
    assert register.find(np.array([row.site])).geometry.iloc[0] == row.geometry


def test_a_site_is_not_moved_out_of_the_city(city):
    row = SiteRegister.load(city).table.iloc[0]
    with pytest.raises(CityError, match="outside the city's grid"):
        move_site(city, int(row.site), easting=0.0, northing=0.0, since=np.datetime64("2026-11-20", "ms"))
    assert len(SiteRegister.load(city).table) == len(city.places("sites"))
    assert np.isnat(SiteRegister.load(city).table.valid_to.to_numpy()[0])


def test_site_numbers_are_never_used_twice(city):
    table = SiteRegister.load(city).table
    last = int(table.site.max())
    retire_site(city, last, until=np.datetime64("2026-01-01", "ms"))
    number = add_site(
        city, device="meter-x", quantity="sound_laeq", easting=385_900, northing=6_671_900, origin="simulated"
    )
    assert number == last + 1
    with pytest.raises(CityError, match="was retired"):
        retire_site(city, last, until=np.datetime64("2026-01-02", "ms"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"quantity": "noize"}, "noize"),
        ({"origin": "rumour"}, "rumour"),
        ({"easting": 0.0}, "outside the city's grid"),
        ({"device": "Lamp 7"}, "no level of a topic"),
    ],
)
def test_an_impossible_site_is_refused(city, change, reason):
    asked = {"device": "d", "quantity": "sound_laeq", "easting": 385_900.0, "northing": 6_671_900.0} | change
    with pytest.raises(CityError, match=reason):
        add_site(city, **asked)


def test_a_real_city_takes_no_simulated_site(tmp_path):
    city = make_city(tmp_path / "real", simulated=False)
    with pytest.raises(CityError, match="not declared simulated"):
        add_site(city, device="d", quantity="sound_laeq", easting=385_900, northing=6_671_900, origin="simulated")


def test_the_clock_follows_its_file(city):
    clock = city_clock(city.path)
    assert not clock.simulated
    set_clock(city.path, np.datetime64("2026-11-20T18:00", "ms"), 60)
    clock = city_clock(city.path)
    assert clock.simulated
    assert clock.speed == 60
    assert abs(clock.now() - np.datetime64("2026-11-20T18:00", "ms")) < np.timedelta64(5, "m")
    clear_clock(city.path)
    assert not city_clock(city.path).simulated


def test_a_damaged_clock_file_is_named(city):
    set_clock(city.path, np.datetime64("2026-11-20T18:00", "ms"), 60)
    (city.path / "store" / "clock.json").write_text("{")
    with pytest.raises(StoreError, match="not a clock file"):
        city_clock(city.path).now()


FESTIVAL = Entry("", "event", "Light festival", "2026-11-20T18:00:00+02:00", "2026-11-20T23:00:00+02:00")


def test_the_journal_keeps_what_was_added(city):
    assert add_entry(city, FESTIVAL).entry == "1"
    frame = read_journal(city)
    assert frame.title.tolist() == ["Light festival"]
    assert frame.start_time.iloc[0] == np.datetime64("2026-11-20T16:00")


def test_importing_twice_adds_nothing(city, tmp_path):
    add_entry(city, FESTIVAL)
    file = tmp_path / "journal.csv"
    file.write_text(journal_csv(city) + "7,works,New lamps,2026-11-21T08:00:00+02:00,,,,,,,\n")
    assert import_entries(city, file) == (1, 1)
    assert import_entries(city, file) == (0, 2)


def test_a_formula_in_the_journal_is_harmless_and_comes_back(city):
    add_entry(city, replace(FESTIVAL, title="=HYPERLINK(1)"))
    assert "'=HYPERLINK" in journal_csv(city)
    assert read_journal(city).title.tolist() == ["=HYPERLINK(1)"]


def test_everything_wrong_with_an_entry_is_said(city):
    with pytest.raises(CityError) as refusal:
        add_entry(city, Entry("", "party", "", "yesterday", status="maybe"))
    for word in ("party", "maybe", "title", "yesterday"):
        assert word in str(refusal.value)


def test_the_journal_is_listed_by_the_citys_clocks(city, capsys):
    from sensors.commands import journal_list

    add_entry(city, replace(FESTIVAL, start="2026-11-20T16:00:00Z", end=""))
    journal_list(city.path)
    assert "2026-11-20 18:00" in capsys.readouterr().out


def test_the_command_says_what_is_wrong_as_json(built, capsys):
    from sensors.commands import city_check

    with pytest.raises(BaseException, match="0"):
        city_check(built.path, as_json=True)
    assert json.loads(capsys.readouterr().out)["problems"] == []


def test_what_a_lamp_may_say_besides_is_checked(tmp_path):
    lamps = (
        make_city(tmp_path)
        .places("lamps")
        .assign(azimuth_deg=np.nan, tilt_deg=5.0, overhang_m="", dimming_curve="dali-log")
    )
    assert table_problems("lamps", lamps, str(lamps.crs)) == []
    odd = lamps.assign(azimuth_deg="north", tilt_deg=120.0, dimming_curve="cubic")
    assert table_problems("lamps", odd, str(lamps.crs)) == [
        "lamp 'lamp-000' has azimuth_deg 'north'; expected -360 to 360 or nothing",
        "lamp 'lamp-000' has tilt_deg '120.0'; expected -45 to 90 or nothing",
        "dimming_curve 'cubic' is not known; expected one of linear, dali-log",
    ]
