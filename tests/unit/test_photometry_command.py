"""Laws of `noctule photometry` and of a city's photometric files."""

import json
import math

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from analytics.photometry import DISTRIBUTIONS
from noctule import app
from sensors.city import City, write_settings
from sensors.errors import CityError, LuminaireError
from sensors.eulumdat import read_eulumdat
from sensors.luminaire_files import NO_FILE, luminaires, read_luminaire
from sensors.photometry_report import half_shares, photometry_dict, photometry_text
from sensors.places import check_city, save_place
from tests.photometric_files import eulumdat, lm63, street_like, zonal_lumens
from tests.shared_data import ROOT, shared_data
from tests.synthetic_city import make_city

GAMMA = np.arange(0.0, 91.0, 5.0)
AROUND = np.arange(0.0, 360.0, 15.0)
KEYS = ["lumens", "lumens_per_klm", "lor", "dff", "ulor", "symmetry", "planes", "watts", "peak_cd"]
KEYS += ["intensity", "warnings"]


def lantern(facing=90.0, lorl=85.0):
    """A EULUMDAT file whose street side is C = `facing`, 2000 lm of lamps."""
    table = street_like(AROUND, GAMMA, facing)
    table = table * (10.0 * lorl / zonal_lumens(AROUND, GAMMA, table))
    return eulumdat(AROUND, GAMMA, table, isym=0, lorl=lorl, sets=[(1, "LED", 2000.0, "3000", "70", 20.0)])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "lantern.ldt"
    path.write_text(lantern())
    return path


def run(*arguments):
    return CliRunner().invoke(app, ["photometry", *map(str, arguments)])


def test_json_has_the_keys_that_others_build_on(file):
    outcome = run(file, "--at", "90,60", "--at", "-90,60", "--at", "0,100", "--json")
    assert outcome.exit_code == 0
    said = json.loads(outcome.output)
    assert list(said) == KEYS
    assert (said["lumens"], said["lor"], said["dff"], said["ulor"], said["watts"]) == (2000, 0.85, 1, 0, 20)
    assert said["lumens_per_klm"] == pytest.approx(850, abs=0.001)
    assert (said["symmetry"], said["planes"], said["warnings"]) == ("none", 24, [])
    found = read_luminaire(file)
    assert said["peak_cd"] == pytest.approx(found.candela.max(), abs=0.001)
    assert [(one["c"], one["gamma"]) for one in said["intensity"]] == [(90, 60), (-90, 60), (0, 100)]
    expected = found.intensity([90.0, 270.0, 0.0], [60.0, 60.0, 100.0])
    assert [one["cd"] for one in said["intensity"]] == pytest.approx(list(expected), abs=1e-4)
    assert said["intensity"][2]["cd"] == 0


def test_the_orientation_turns_the_drawing_and_no_number_of_the_file(file):
    plain, turned = (
        run(file, "--at", "30,60", "--json", *more).output for more in ((), ("--orientation", "street-c0"))
    )
    assert plain == turned
    assert run(file).output != run(file, "--orientation", "street-c0").output


def test_watts_that_are_not_said_are_null(tmp_path):
    path = tmp_path / "a.ies"
    path.write_text(lm63([0.0], GAMMA, np.full(19, 10.0), watts=0))
    assert json.loads(run(path, "--json").output)["watts"] is None
    assert "power not said" in run(path).output


@pytest.mark.parametrize("text", ["90", "90,x", "90,181", "90,-1", "400,0", "nan,0", "0,nan", "", "1,2,3"])
def test_a_direction_that_is_none_is_wrong_usage(file, text):
    assert run(file, "--at", text).exit_code == 2


def test_an_orientation_that_is_none_is_wrong_usage(file):
    assert run(file, "--orientation", "north").exit_code == 2


def test_a_file_that_cannot_be_true_is_refused(tmp_path):
    path = tmp_path / "made-up.ldt"
    path.write_text(lantern().replace("85", "45", 1))
    outcome = run(path, "--json")
    assert isinstance(outcome.exception, LuminaireError)
    assert "made-up.ldt: the table integrates to 850.0 lm/klm" in str(outcome.exception)


def test_help_has_an_example():
    assert "Example: noctule photometry" in run("--help").output


@pytest.mark.parametrize("facing", [0, 90, 180, 270])
def test_a_street_side_that_the_light_speaks_against_is_asked_about(facing):
    found = read_eulumdat(lantern(float(facing)))
    assert half_shares(found)[facing] > 0.55
    for side in (0, 90, 180, 270):
        text = photometry_text(found, orientation=f"street-c{side}")
        asked = "is its street side" in text
        assert asked == (side != facing)
        assert f"is its street side street-c{facing}?" in text or side == facing


def test_shares_of_opposite_halves_are_the_whole():
    shares = half_shares(read_eulumdat(lantern(37.0)))
    assert shares[0] + shares[180] == pytest.approx(1.0)
    assert shares[90] + shares[270] == pytest.approx(1.0)


def test_nothing_of_a_stranger_reaches_the_terminal_as_control_character(tmp_path):
    path = tmp_path / "a.ies"
    path.write_bytes(lm63([0.0], GAMMA, np.full(19, 10.0), keywords=("[LUMINAIRE] \x1b[31mred\u009b",)).encode())
    assert all(letter.isprintable() or letter == "\n" for letter in photometry_text(read_luminaire(path)))


def test_a_luminaire_without_symmetry_to_draw_is_drawn():
    upward = np.arange(0.0, 181.0, 5.0)
    found = read_eulumdat(eulumdat([0.0], upward, np.full(37, 1000 / (4 * math.pi)), isym=1, lorl=100, dff=50))
    text = photometry_text(found, [(0.0, 180.0)])
    assert "alike all around" in text
    assert "gamma 180" in text
    assert photometry_dict(found)["ulor"] == 0.5


def test_the_example_of_the_page_gives_what_the_page_says(tmp_path):
    file, output = (ROOT / "docs" / "photometry.md").read_text("utf-8").split("```\n")[1:4:2]
    path = tmp_path / "lantern.ies"
    path.write_text(file)
    assert output.split("\n", 1)[1] == run(path, "--at", "0,60").output


# A city's files


@pytest.fixture
def city(tmp_path):
    made = make_city(tmp_path / "town")
    (made.path / "places" / "luminaires").mkdir()
    return made


def named(city, *names):
    """The city with its first lamps naming these luminaires."""
    lamps = city.places("lamps").copy()
    lamps["luminaire"] = [*names, *[""] * (len(lamps) - len(names))]
    save_place(city.path, "lamps", lamps)
    return City.open(city.path)


def put(city, name, text):
    (city.path / "places" / "luminaires" / name).write_text(text)


def oriented(city, **entries):
    lighting = msgspec.structs.replace(city.settings.lighting, orientation=entries)
    write_settings(city.path, msgspec.structs.replace(city.settings, lighting=lighting))
    return City.open(city.path)


def test_words_that_need_no_file_are_those_of_the_map():
    assert set(NO_FILE) == {"", *DISTRIBUTIONS}


def test_luminaires_are_found_by_stem_and_by_name_in_any_case(city):
    put(city, "Lantern-A.LDT", lantern())
    put(city, "b.ies", lm63([0.0, 90.0, 180.0], GAMMA, street_like(np.array([0.0, 90, 180]), GAMMA, 0.0)))
    city = named(city, "lantern-a", "LANTERN-A.ldt", "B", "road", "Lambert", "elsewhere")
    found = luminaires(city)
    assert set(found) == {"lantern-a", "LANTERN-A.ldt", "B"}
    assert set(luminaires(city, ["b"])) == {"b"}


@pytest.mark.parametrize("street_c", [0.0, 90.0])
def test_each_luminaire_faces_the_street_as_the_city_says(city, street_c):
    put(city, "usual.ldt", lantern(90.0))
    put(city, "odd.ldt", lantern(0.0))
    table = street_like(np.append(AROUND, 360.0), GAMMA, 0.0)
    put(city, "iesna.ies", lm63(np.append(AROUND, 360.0), GAMMA, table))
    city = oriented(named(city, "usual", "odd.ldt", "iesna"), ODD="street-c0")
    assert not check_city(city.path)
    for one in luminaires(city, street_c_deg=street_c).values():
        ahead, behind, left, right = one.intensity(street_c + np.array([0.0, 180, 90, -90]), 60.0)
        assert ahead > behind
        assert left == pytest.approx(right)


def test_the_check_names_each_file_that_is_wrong_and_each_that_is_missing_once(city):
    put(city, "fine.ldt", lantern())
    put(city, "broken.ldt", lantern()[:500])
    put(city, "unused.ldt", "nothing of the kind")
    put(city, "twice.ldt", lantern())
    put(city, "twice.ies", lm63([0.0], GAMMA, np.full(19, 10.0)))
    city = named(city, "fine", "broken", "broken", "gone", "gone", "gone.ies", "twice", "twice.ldt", "road", "lambert")
    problems = check_city(oriented(city, fine="street-c0", typo="street-c0").path)
    assert len(problems) == 5
    text = "\n".join(problems)
    for word in (
        "broken.ldt: ",
        "'gone', but",
        "'gone.ies', but",
        "'twice' could be",
        "orientation of city.toml names 'typo'",
    ):
        assert text.count(word) == 1
    with pytest.raises(LuminaireError, match="2 problems"):
        luminaires(city)


def test_a_side_that_is_none_is_refused_with_the_settings(city):
    with pytest.raises(CityError, match=r"lighting\.orientation of 'a' is 'east'; expected street-c0"):
        oriented(city, a="east")


def test_a_file_in_the_wrong_clothes_is_read_and_said(tmp_path):
    path = tmp_path / "a.ies"
    path.write_text(lantern())
    found = read_luminaire(path)
    assert found.form == "EULUMDAT"
    assert "called .ies but holds EULUMDAT" in found.warnings[0]


def test_the_sample_of_a_road_lantern_asks_for_the_side_with_more_light():
    text = photometry_text(read_luminaire(shared_data("photometry/road_luminaire.ldt")))
    assert "C 90: 33 %" in text
    assert "is its street side street-c270?" in text
