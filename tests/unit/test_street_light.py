import json
import math
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import noctule
from analytics import street_light as room
from analytics.section_report import Section, report
from analytics.street_light import (
    FORWARD,
    Isotropic,
    Lambert,
    calculation_grid,
    read_positions,
    rows_of,
    source_named,
    street_light,
)
from sensors.errors import LightingError, LuminaireError
from sensors.luminaire import Luminaire
from tests.reference import street_light as reference
from tests.shared_data import shared_data

ROAD = {"height_m": 6.0, "spacing_m": 25.0, "width_m": 7.0, "overhang_m": 0.5}


def lit(source, arrangement="single", orientation="street-c0", mf=1.0, **changes):
    road = ROAD | changes
    grid = calculation_grid(road["spacing_m"], road["width_m"])
    return street_light(source, rows_of(arrangement, **road), grid, maintenance_factor=mf, orientation=orientation)


def lopsided() -> Luminaire:
    """Brighter to the street (C = 0), and more to its left than to its right."""
    c = np.arange(0.0, 360.0, 10.0)
    gamma = np.arange(0.0, 91.0, 5.0)
    lobe = 300 + 150 * np.cos(np.radians(c))[:, None] + 60 * np.sin(np.radians(c))[:, None]
    candela = lobe * np.cos(np.radians(gamma)) ** 0.5 + 20
    return Luminaire(
        "lopsided", "test", c, gamma, candela, 1000.0, 900.0, 0.9, 1.0, 0.0, 10.0, "none", (0.3, 0.2, 0.0)
    )  # fmt: skip


def shape(light, name):
    return getattr(light, name).reshape(light.grid.along.size, light.grid.across.size)


@pytest.mark.parametrize("arrangement", room.ARRANGEMENTS)
@pytest.mark.parametrize("spacing, width", [(25.0, 7.0), (36.5, 3.2)])
def test_an_isotropic_road_is_the_sum_of_i_h_over_d_cubed(arrangement, spacing, width):
    light = lit(Isotropic(1000.0), arrangement, spacing_m=spacing, width_m=width)
    lamps = reference.road(spacing, width, 6.0, 0.5, arrangement)
    expected = [
        sum(1000.0 * 6.0 / (math.hypot(x - xs, y - ys) ** 2 + 36.0) ** 1.5 for xs, ys, *_ in lamps)
        for x, y in reference.points(spacing, width)
    ]
    assert light.horizontal == pytest.approx(expected, abs=1e-12)
    assert np.stack(light.grid.points(), axis=1) == pytest.approx(np.array(reference.points(spacing, width)))


def test_a_lambert_road_is_the_sum_of_flux_h_squared_over_pi_d_to_the_fourth():
    light = lit(Lambert(4000.0), "staggered", mf=0.8)
    lamps = reference.road(25.0, 7.0, 6.0, 0.5, "staggered")
    expected = [
        0.8 * sum(4000 / math.pi * 36.0 / (math.hypot(x - xs, y - ys) ** 2 + 36.0) ** 2 for xs, ys, *_ in lamps)
        for x, y in reference.points(25.0, 7.0)
    ]
    assert light.horizontal == pytest.approx(expected, abs=1e-12)


PLANES = {
    "horizontal": ("horizontal", 0.0),
    "hemispherical": ("hemispherical", 0.0),
    "cylindrical": ("cylindrical", 0.0),
    "vertical_forward": ("vertical", 0.0),
    "vertical_back": ("vertical", math.pi),
    "semicylindrical_forward": ("semi-cylindrical", 0.0),
    "semicylindrical_back": ("semi-cylindrical", math.pi),
}


@pytest.mark.parametrize("name", PLANES)
@pytest.mark.parametrize("arrangement", room.ARRANGEMENTS)
def test_every_plane_of_a_lopsided_luminaire_is_what_the_standard_s_angles_give(name, arrangement):
    luminaire = lopsided()
    light = lit(luminaire, arrangement)
    what, facing = PLANES[name]
    lamps = reference.road(25.0, 7.0, 6.0, 0.5, arrangement)

    def intensity(c, gamma):
        return float(luminaire.intensity(math.degrees(c), math.degrees(gamma)))

    for place, (x, y) in list(enumerate(reference.points(25.0, 7.0)))[::7]:
        expected = sum(reference.plane(what, lamp, x, y, intensity, facing) for lamp in lamps)
        assert getattr(light, name)[place] == pytest.approx(expected, abs=1e-9)


def test_a_road_with_one_row_looks_the_same_from_both_ends():
    light = lit(Lambert(4000.0))
    assert shape(light, "horizontal") == pytest.approx(shape(light, "horizontal")[::-1], abs=1e-12)
    assert shape(light, "semicylindrical_forward") == pytest.approx(
        shape(light, "semicylindrical_back")[::-1], abs=1e-12
    )


def test_opposite_rows_are_mirrored_across_and_twice_half():
    both = shape(lit(lopsided(), "opposite"), "horizontal")
    # The far row is the near one turned by half a turn, so the road is the same seen from its other end.
    assert both == pytest.approx(both[::-1, ::-1], abs=1e-12)
    one = shape(lit(Lambert(4000.0)), "horizontal")
    assert shape(lit(Lambert(4000.0), "opposite"), "horizontal") == pytest.approx(one + one[:, ::-1], abs=1e-12)


def test_staggered_rows_are_mirrored_across_after_half_a_spacing():
    light = shape(lit(Lambert(4000.0), "staggered"), "horizontal")
    assert light == pytest.approx(light[::-1], abs=1e-12)
    shifted = np.roll(light, 5, axis=0)[:, ::-1]
    assert light == pytest.approx(shifted, abs=2e-3)  # but for where the rows end, five spacings away
    single, opposite = lit(Lambert(4000.0)), lit(Lambert(4000.0), "opposite")
    assert light.mean() == pytest.approx(2 * single.horizontal.mean(), rel=1e-4)
    assert light.mean() == pytest.approx(opposite.horizontal.mean(), rel=1e-4)


@pytest.mark.parametrize("arrangement", room.ARRANGEMENTS)
def test_what_lies_beyond_five_spacings_hardly_counts_for_a_lambert_road(arrangement):
    light = lit(Lambert(4000.0), arrangement)
    lamps = reference.road(25.0, 7.0, 6.0, 0.5, arrangement, spacings=200)
    far = [
        sum(4000 / math.pi * 36.0 / (math.hypot(x - xs, y - ys) ** 2 + 36.0) ** 2 for xs, ys, *_ in lamps)
        for x, y in reference.points(25.0, 7.0)
    ]
    rows = 1 if arrangement == "single" else 2
    # What is left out of a row begins five and a half spacings away at least, on both sides.
    most = rows * 2 * 4000 / math.pi * 36.0 / 25.0**4 * sum(1 / (5.5 + k) ** 4 for k in range(200))
    left_out = np.array(far) - light.horizontal
    assert np.all((left_out > 0) & (left_out < most))
    assert most < 1e-3 * rows


@pytest.mark.parametrize("spacing, points", [(5.0, 10), (30.0, 10), (30.5, 11), (33.0, 11), (45.0, 15), (90.0, 30)])
def test_the_grid_has_ten_points_up_to_thirty_metres_and_then_one_every_three(spacing, points):
    grid = calculation_grid(spacing, 7.0)
    assert grid.along.size == points
    assert grid.along[0] == pytest.approx(grid.step_along / 2)


@pytest.mark.parametrize("width, points", [(0.9, 3), (4.5, 3), (4.6, 4), (6.0, 4), (7.0, 5), (12.0, 8)])
def test_the_grid_has_three_points_across_and_more_where_they_were_over_a_metre_and_a_half_apart(width, points):
    grid = calculation_grid(25.0, width)
    assert grid.across.size == points
    assert grid.across[-1] == pytest.approx(width - grid.step_across / 2)


def one_lamp(x, y, height=6.0):
    return room.Luminaires(*(np.array([value]) for value in (x, y, height, 1.0, 90.0, 0.0)))


def faces(source, x, y):
    """The five upright planes at (0, 0) from a lamp at (x, y)."""
    return room._at_faces(source, one_lamp(x, y), np.zeros(1), np.zeros(1), "street-c0")


def test_facing_the_lamp_semi_cylindrical_is_two_over_pi_of_vertical_sideways_half_and_from_behind_nothing():
    _, facing_v, _, facing_sc, behind_sc = (value[0] for value in faces(Isotropic(500.0), 8.0, 0.0))
    assert facing_sc / facing_v == pytest.approx(2 / math.pi, rel=1e-12)
    assert behind_sc == pytest.approx(0.0, abs=1e-15)
    _, sideways_v, _, sideways_sc, _ = (value[0] for value in faces(Isotropic(500.0), 0.0, 8.0))
    assert sideways_v == pytest.approx(0.0, abs=1e-15)
    assert sideways_sc == pytest.approx(facing_sc / 2, rel=1e-12)


@pytest.mark.parametrize("degrees", [0, 30, 90, 120, 170, 180])
def test_semi_cylindrical_is_the_mean_over_a_half_cylinder(degrees):
    x, y = 8 * math.cos(math.radians(degrees)), 8 * math.sin(math.radians(degrees))
    summed = reference.half_cylinder((x, y, 6.0, 0.0), 0.0, 0.0, lambda c, gamma: 500.0, FORWARD)
    assert faces(Isotropic(500.0), x, y)[3][0] == pytest.approx(summed, abs=1e-6)


def test_cylindrical_is_the_mean_of_semi_cylindrical_both_ways():
    light = lit(lopsided(), "staggered")
    mean = (light.semicylindrical_forward + light.semicylindrical_back) / 2
    assert light.cylindrical == pytest.approx(mean, abs=1e-12)


def test_straight_below_a_lamp_no_face_sees_it_and_hemispherical_is_half_of_horizontal():
    ground = room._on_ground(Isotropic(360.0), one_lamp(0.0, 0.0), np.zeros(1), np.zeros(1), "street-c0")
    assert [float(value[0]) for value in ground] == pytest.approx([10.0, 5.0])
    assert all(value[0] == pytest.approx(0.0, abs=1e-12) for value in faces(Isotropic(360.0), 0.0, 0.0))


@given(st.floats(0.0, 1.0), st.floats(0.1, 1.0), st.sampled_from(sorted(PLANES)))
@settings(max_examples=20, deadline=None)
def test_dimming_and_maintenance_scale_everything(level, factor, name):
    full = getattr(lit(lopsided(), "opposite"), name)
    part = getattr(lit(lopsided(), "opposite", mf=factor, level=level), name)
    assert part == pytest.approx(full * level * factor, abs=1e-9)


def test_all_lengths_doubled_quarter_the_light():
    near = room._on_ground(lopsided(), one_lamp(3.0, 1.0), np.array([7.0]), np.array([4.0]), "street-c0")
    far = room._on_ground(lopsided(), one_lamp(6.0, 2.0, 12.0), np.array([14.0]), np.array([8.0]), "street-c0")
    assert float(near[0][0]) == pytest.approx(4 * float(far[0][0]), rel=1e-12)


def test_a_luminaire_given_with_c90_to_the_street_is_the_one_with_c0_turned_in_its_file():
    plain = lopsided()
    turned = Luminaire(**(vars(plain) | {"candela": np.roll(plain.candela, 9, axis=0)}))  # nine planes of 10 degrees
    assert lit(turned, orientation="street-c90").horizontal == pytest.approx(lit(plain).horizontal, abs=1e-9)
    assert lit(plain, orientation="street-c90").horizontal != pytest.approx(lit(plain).horizontal, rel=0.01)


def test_the_street_side_lights_the_street():
    light = lit(lopsided())
    turned = lit(lopsided(), rotation_deg=180.0)
    assert light.horizontal.mean() > 1.3 * turned.horizontal.mean()


def test_rotating_a_round_luminaire_changes_nothing():
    assert lit(Lambert(4000.0), rotation_deg=37.0).horizontal == pytest.approx(lit(Lambert(4000.0)).horizontal)


def test_tilting_throws_light_across_the_road_and_a_tilted_lambert_is_a_tilted_plate():
    flat, tilted = lit(Lambert(4000.0)), lit(Lambert(4000.0), tilt_deg=20.0)
    across = shape(tilted, "horizontal").mean(axis=0) / shape(flat, "horizontal").mean(axis=0)
    assert np.all(np.diff(across) > 0)  # the farther over the road, the more it gains
    source = room._on_ground(
        Lambert(math.pi), room.Luminaires(*(np.array([v]) for v in (0.0, 0.0, 4.0, 1.0, 90.0, 20.0))),
        np.array([1.0]), np.array([3.0]), "street-c0",
    )[0][0]  # fmt: skip
    axis = np.array([0.0, math.sin(math.radians(20)), -math.cos(math.radians(20))])
    ray = np.array([1.0, 3.0, -4.0])
    d = float(np.linalg.norm(ray))
    assert source == pytest.approx(float(axis @ ray) / d * 4.0 / d**3, rel=1e-12)


def test_tilt_by_nothing_and_a_whole_turn_are_nothing():
    assert lit(lopsided(), rotation_deg=360.0).horizontal == pytest.approx(lit(lopsided()).horizontal, abs=1e-9)


def test_a_worked_street_has_the_figures_that_were_computed_for_it_elsewhere():
    """sensing.md A2 and A9: lambert 4000 lm, MF 0.8, 6 m high, every 30 m, 6 m wide, to the digits printed there."""
    road = {"height_m": 6.0, "spacing_m": 30.0, "width_m": 6.0, "overhang_m": 0.0}
    grid, lamps = calculation_grid(30.0, 6.0), rows_of("single", **road)

    def light(level, where=grid):
        return street_light(Lambert(4000.0), replace(lamps, level=level), where, maintenance_factor=0.8).horizontal

    full = light(lamps.level)
    assert (round(full.mean(), 2), round(full.min(), 3)) == (6.30, 0.952)
    two = light(np.where((lamps.along == 0.0) | (lamps.along == 30.0), 1.0, 0.0))
    assert round(100 * (1 - two.mean() / full.mean()), 1) == 0.4
    assert round(100 * (1 - two.min() / full.min()), 1) == 2.1
    dead = light(np.where(lamps.along == 0.0, 0.0, 1.0))
    assert (round(dead.mean(), 2), round(dead.min(), 3)) == (3.16, 0.088)
    fine = calculation_grid(30.0, 6.0)
    fine = replace(fine, along=np.linspace(0.0, 30.0, 301), across=np.linspace(0.0, 6.0, 61))
    assert light(lamps.level, fine).min() == pytest.approx(0.852, abs=1e-3)  # how fine is not said


def test_dead_lamps_are_as_if_they_were_not_there(tmp_path):
    file = tmp_path / "lamps.csv"
    file.write_text("x,y,height_m,dim\n0,0.5,6,1\n25,0.5,6,0\n50,0.5,6,1\n")
    grid = calculation_grid(25.0, 7.0)
    light = street_light(Lambert(4000.0), read_positions(file, width_m=7.0), grid)
    file.write_text("x,y,height_m,dim\n0,0.5,6,1\n50,0.5,6,1\n")
    assert light.horizontal == pytest.approx(
        street_light(Lambert(4000.0), read_positions(file, width_m=7.0), grid).horizontal, abs=1e-15
    )


def test_a_table_of_positions_is_the_regular_road_it_lists(tmp_path):
    lamps = rows_of("staggered", **ROAD)
    file = tmp_path / "lamps.csv"
    rows = np.stack([lamps.along, lamps.across, lamps.height_m, lamps.level], axis=1).tolist()
    lines = ["x;y;height_m;dim", *(";".join(repr(value).replace(".", ",") for value in row) for row in rows)]
    file.write_text("\n".join(lines))
    listed = street_light(lopsided(), read_positions(file, width_m=7.0), calculation_grid(25.0, 7.0))
    assert listed.horizontal == pytest.approx(lit(lopsided(), "staggered").horizontal, abs=1e-12)


def test_missing_heights_and_levels_are_the_arguments(tmp_path):
    file = tmp_path / "lamps.csv"
    file.write_text("x,y\n0,0\n20,0\n")
    lamps = read_positions(file, width_m=6.0, height_m=5.0, level=0.5)
    assert lamps.height_m.tolist() == [5.0, 5.0]
    assert lamps.level.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "expected x,y,height_m,dim"),
        ("x,y,height_m,dim\n", "no row"),
        ("a,b\n1,2\n", "expected x,y,height_m,dim"),
        ("x,y,height_m,dim\n0,0,6,nan\n", "line 2: dim nan"),
        ("x,y,height_m,dim\n0,0,0,1\n", "line 2: height_m 0 "),
        ("x,y,height_m,dim\n0,0,six,1\n", "height_m 'six' is no number"),
        ("x,y,height_m,dim\n0,5,0,5,6,1\n", "with decimal commas part the columns by semicolons"),
        ("x,y,height_m,dim\n0,0,6,1.5\n", "between 0 and 1"),
        ("x,y,height_m,dim\ninf,0,6,1\n", "line 2: x inf"),
        ("x,y,height_m,dim\n0,0\n", "line 2: height_m '' is no number"),
        ("\x00\x01\xff", "expected x,y,height_m,dim"),
        ('x,y,height_m,dim\n"0,0,6,1\n', "no number"),
    ],
)
def test_a_damaged_table_is_refused_with_what_is_wrong(tmp_path, text, said):
    file = tmp_path / "lamps.csv"
    file.write_text(text, "latin-1")
    with pytest.raises(LightingError, match=r".") as caught:
        read_positions(file, width_m=7.0)
    assert said in str(caught.value)


def test_a_million_luminaires_are_refused_at_once(tmp_path):
    file = tmp_path / "lamps.csv"
    file.write_text("x,y,height_m,dim\n" + "0,0,6,1\n" * 1_000_000)
    began = time.process_time()
    with pytest.raises(LightingError, match="more than 10,000 rows"):
        read_positions(file, width_m=7.0)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"height_m": 0.0}, "height is 0 m"),
        ({"spacing_m": 0.0}, "spacing is 0 m"),
        ({"width_m": -3.0}, "width is -3 m"),
        ({"spacing_m": math.nan}, "spacing is nan m"),
        ({"level": 1.2}, "dim is 1.2"),
        ({"tilt_deg": math.inf}, "tilt is inf"),
    ],
)
def test_impossible_roads_are_refused(changes, said):
    with pytest.raises(LightingError, match=said):
        rows_of("single", **(ROAD | changes))


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(LightingError) as caught:
        rows_of("triangle", height_m=-1, spacing_m=0, width_m=math.nan)
    assert str(caught.value).count("\n") == 4


@pytest.mark.parametrize("text", ["isotropic:", "lambert:many", "isotropic:-5", "lambert:nan", "isotropic:inf"])
def test_a_source_without_a_sensible_number_is_refused(text):
    with pytest.raises(LightingError):
        source_named(text)


@pytest.mark.parametrize("arc, percent", [(254, 100.0), (229, 50.5), (170, 10.1), (127, 3.1), (85, 1.0), (1, 0.1)])
def test_dali_levels_are_logarithmic(arc, percent):
    asked = Section("lambert:4000", 7.0, height_m=6.0, spacing_m=25.0, dimming=arc / 254, curve="dali-log")
    assert round(100 * asked.level, 1) == percent
    assert report(asked).light.horizontal.mean() == pytest.approx(asked.level * full_at_the_kerb(), rel=1e-12)


def full_at_the_kerb():
    return report(Section("lambert:4000", 7.0, height_m=6.0, spacing_m=25.0)).light.horizontal.mean()


def test_the_indicators_of_en_13201_5_are_power_over_light_and_energy_over_area():
    light = lit(Lambert(4000.0))
    lumens_on_the_road = light.horizontal.mean() * 25.0 * 7.0
    assert room.power_density(30.0, light) == pytest.approx(30.0 / lumens_on_the_road)
    assert room.energy_density(30.0, 4000.0, light) == pytest.approx(30.0 * 4000.0 / (25.0 * 7.0))
    assert room.power_of(100.0, 1.0) == pytest.approx(100.0)
    assert room.power_of(100.0, 0.0) == 0.0


def run(*arguments):
    return CliRunner().invoke(noctule.app, ["street-light", *arguments])


def test_the_command_prints_the_agreed_keys():
    result = run(
        "--luminaire", "isotropic:1000", "--height", "6", "--spacing", "25", "--width", "7", "--overhang", "0.5",
        "--arrangement", "staggered", "--mf", "0.8", "--json", "--class", "P4", "--class", "M4",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    agreed = ["n_long", "D", "n_trans", "d", "E_avg", "E_min", "E_max", "U_o", "points", "Esc_min_forward"]
    assert set(agreed) | {"Esc_min_back", "classes"} <= set(said)
    expected = lit(Isotropic(1000.0), "staggered", mf=0.8)
    assert said["E_avg"] == pytest.approx(expected.horizontal.mean(), abs=1e-12)
    assert (said["n_long"], said["n_trans"], len(said["points"])) == (10, 5, 50)
    assert said["points"][0]["x"] == pytest.approx(1.25)
    assert said["classes"]["M"] == "not assessed"
    assert [verdict["required"] for verdict in said["verdicts"]] == ["P4", "M4"]
    assert "complian" not in result.stdout


def test_the_command_says_it_in_words_and_calls_nothing_compliant():
    result = run("--luminaire", "lambert:4000", "--height", "6", "--spacing", "25", "--width", "7", "--class", "P3")
    assert result.exit_code == 0, result.output
    assert "by calculation" in result.output
    assert "provisional" in result.output
    assert "complian" not in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["--height", "0", "--spacing", "25", "--width", "7"],
        ["--height", "6", "--spacing", "0", "--width", "7"],
        ["--height", "6", "--spacing", "25", "--width", "-7"],
        ["--height", "6", "--spacing", "nan", "--width", "7"],
        ["--height", "6", "--spacing", "25", "--width", "7", "--mf", "0"],
        ["--height", "6", "--spacing", "25", "--width", "7", "--class", "P9"],
        ["--positions", "/nowhere/lamps.csv", "--width", "7"],
        ["--positions", "/", "--width", "7"],
        ["--spacing", "25", "--width", "7"],
    ],
)
def test_the_command_refuses_what_cannot_be_and_does_not_crash(arguments):
    result = run("--luminaire", "lambert:4000", *arguments)
    assert result.exit_code in (1, 2)
    assert result.exception is None or isinstance(result.exception, (LightingError, SystemExit))


def test_one_luminaire_in_both_formats_gives_one_street():
    folder = shared_data("photometry")
    streets = [
        report(Section(str(folder / f"luxpy_test_lid_file.{suffix}"), 7.0, 8.0, 30.0, orientation="street-c90")).light
        for suffix in ("ies", "ldt")
    ]
    assert streets[0].horizontal == pytest.approx(streets[1].horizontal, rel=2e-3)  # digits of the files
    assert streets[0].semicylindrical_forward == pytest.approx(streets[1].semicylindrical_forward, rel=2e-3)


def test_a_lantern_with_its_back_to_the_street_is_noticed():
    # This file, made anonymous by its source, gives C = 270 more light than C = 90, where EULUMDAT has the street.
    file = str(shared_data("photometry") / "road_luminaire.ldt")
    usual = report(Section(file, 7.0, 8.0, 30.0))
    turned = report(Section(file, 7.0, 8.0, 30.0, orientation="street-c270"))
    by_hand = report(Section(file, 7.0, 8.0, 30.0, rotation_deg=180.0))
    assert usual.orientation == "street-c90"
    assert any("C90, as usual" in note for note in usual.notes)
    assert any("--orientation street-c270" in note for note in usual.notes)
    assert not any("street side there" in note for note in (*turned.notes, *by_hand.notes))
    assert by_hand.light.horizontal == pytest.approx(turned.light.horizontal)
    assert turned.light.horizontal.mean() > 2 * usual.light.horizontal.mean()
    assert usual.watts == pytest.approx(276.0)
    # 33,200 lm of the lamp, 84.42 % of them leave the lantern, and no more can fall on the road than leaves.
    for light in (usual.light, turned.light):
        assert 0.1 * 33_200 < light.horizontal.mean() * 7.0 * 30.0 < 0.8442 * 33_200


def test_the_street_side_s_share_of_the_flux():
    assert room.street_share(Lambert(1000.0), "street-c0") == pytest.approx(0.5)
    share = room.street_share(lopsided(), "street-c0")
    assert share > 0.6
    turned = Luminaire(**(vars(lopsided()) | {"candela": np.roll(lopsided().candela, 18, axis=0)}))
    assert room.street_share(turned, "street-c0") == pytest.approx(1 - share, abs=1e-3)
    assert math.isnan(room.street_share(Isotropic(0.0), "street-c0"))


@pytest.mark.parametrize("name", ["wiki-flood.ldt", "nowhere.ldt", "SOURCE.md"])
def test_a_file_that_cannot_be_true_is_refused_with_its_reason(name):
    with pytest.raises(LuminaireError, match=name):
        source_named(str(shared_data("photometry") / name))
