"""Laws of EULUMDAT files: every symmetry, every way to write them; and whatever is wrong is one sentence."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensors.errors import LuminaireError
from sensors.eulumdat import read_eulumdat
from sensors.lm63 import read_lm63
from sensors.luminaire_files import luminaire_from, read_luminaire
from sensors.photometric_text import MOST_BYTES
from tests.photometric_files import eulumdat, lm63, street_like, zonal_lumens
from tests.reference import luminaire_symmetry
from tests.shared_data import shared_data
from tests.unit.test_lm63 import WORDS, sound

GAMMA = np.arange(0.0, 91.0, 5.0)
EVEN = np.arange(0.0, 360.0, 15.0)
UNEVEN = np.array(
    [0.0, 5, 20, 35, 60, 80, 90, 100, 120, 145, 160, 175, 180, 185, 200, 215, 240, 260, 270, 280, 300, 325]
)
UNEVEN = np.append(UNEVEN, [340.0, 355.0])  # 24 planes, mirrored at 0-180 and at 90-270
WORD = {0: "none", 1: "axial", 2: "c0-c180", 3: "c90-c270", 4: "quadrant"}


def whole_table(planes, isym):
    """A table of all planes that has the symmetry of an Isym, cd per 1000 lm."""
    facing = {0: 37.0, 1: 0.0, 2: 0.0, 3: 90.0, 4: 0.0}[isym]
    table = street_like(planes, GAMMA, facing)
    if isym == 1:
        return np.tile(table[:1], (len(planes), 1))
    return table + street_like((180.0 - planes) % 360.0, GAMMA, facing) if isym == 4 else table


def stored_rows(table, isym):
    """The planes that the file keeps, by the definition of Mc1 and Mc2, counted from 1."""
    n = len(table)
    first, last = {
        0: (1, n),
        1: (1, 1),
        2: (1, n // 2 + 1),
        3: (3 * n // 4 + 1, 3 * n // 4 + n // 2 + 1),
        4: (1, n // 4 + 1),
    }[isym]
    return np.array([table[(number - 1) % n] for number in range(first, last + 1)])


def written(isym=3, planes=EVEN, **changes):
    table = whole_table(planes, isym)
    lorl = changes.pop("lorl", None) or zonal_lumens(planes, GAMMA, table) / 10.0
    scale = 85.0 / lorl
    return eulumdat(planes, GAMMA, stored_rows(table * scale, isym), isym=isym, lorl=85.0, **changes), table * scale


@pytest.mark.parametrize("planes", [EVEN, UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize("isym", WORD)
def test_symmetry_expands_to_the_whole_table(isym, planes):
    text, table = written(isym, planes)
    found = read_eulumdat(text)
    assert found.symmetry == WORD[isym]
    assert not found.warnings
    assert found.lumens_per_klm == pytest.approx(850.0, rel=1e-6)
    for c in (0.0, 2.0, 44.0, 90.0, 133.0, 180.0, 222.0, 270.0, 301.0, 359.0):
        expected = luminaire_symmetry.intensity(list(planes), list(GAMMA), table.tolist(), "none", c, 61.0)
        assert float(found.intensity(c, 61.0)) == pytest.approx(expected, rel=1e-7), c
    if isym != 1:
        np.testing.assert_array_equal(found.c_deg, planes)
        np.testing.assert_allclose(found.candela, table, rtol=1e-8)


def test_isym_3_begins_at_c_270():
    text, table = written(3)
    lines = text.split("\n")
    first_row = [float(value) for value in lines[26 + 6 + 10 + 24 + 19 :][:19]]
    np.testing.assert_allclose(first_row, table[18], rtol=1e-9)
    np.testing.assert_allclose(read_eulumdat(text).intensity(270.0, GAMMA), first_row, rtol=1e-9)


def test_uneven_planes_weigh_by_the_angle_that_they_stand_for():
    text, table = written(3, UNEVEN)
    assert read_eulumdat(text).lumens_per_klm == pytest.approx(850.0, rel=1e-6)
    unweighted = zonal_lumens(np.arange(24) * 15.0, GAMMA, table)
    assert abs(unweighted / 850.0 - 1) > 0.03


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_line_ends_and_decimal_commas_are_read(end, decimal):
    text, table = written(end=end, decimal=decimal)
    found = luminaire_from(text.encode(), ".ldt")
    np.testing.assert_allclose(found.candela, table, rtol=1e-8)
    assert not found.warnings


def test_names_in_latin_1_and_in_utf_8_with_a_mark_are_read():
    text, _ = written(name="Straße 70 W é")
    for raw in (text.encode("latin-1"), text.encode("utf-8"), text.encode("utf-8-sig"), text.encode() + b"\x1a"):
        found = luminaire_from(raw, ".ldt")
        assert found.name == "Straße 70 W é"
        assert not found.warnings


def test_candela_are_per_thousand_lumens_of_the_set_and_not_of_a_lamp():
    text, table = written(sets=[(3, "LED", 4000.0, "3000", "70", 33.0)])
    found = read_eulumdat(text)
    np.testing.assert_allclose(found.candela, 4.0 * table, rtol=1e-8)
    assert (found.lumens, found.lor, found.watts, found.form) == (4000.0, 0.85, 33.0, "EULUMDAT")


TWO = [(1, "LED110", 9408.0, "3000", "70", 72.0), (1, "LED120", 10080.0, "3000", "70", 79.0)]


@pytest.mark.parametrize("sets_by_line", [False, True])
def test_the_first_set_of_lamps_counts_and_the_others_are_named(sets_by_line):
    text, table = written(sets=TWO, sets_by_line=sets_by_line)
    found = read_eulumdat(text)
    assert (found.lumens, found.watts) == (9408.0, 72.0)
    np.testing.assert_allclose(found.candela, 9.408 * table, rtol=1e-8)
    assert "LED120" in found.warnings[0]


def test_a_negative_number_of_lamps_is_absolute_photometry():
    text, table = written(sets=[(-1, "LED", 2000.0, "3000", "70", 33.0)])
    table = table / 0.85
    text = eulumdat(EVEN, GAMMA, stored_rows(table, 3), isym=3, lorl=100.0, sets=[(-1, "", 2000.0, "", "", 33.0)])
    found = read_eulumdat(text)
    assert (found.lumens, found.lor, found.ulor) == (2000.0, 1.0, 0.0)
    assert found.lumens_per_klm == pytest.approx(1000.0, rel=1e-6)
    np.testing.assert_allclose(found.candela, 2.0 * table, rtol=1e-8)


def test_absolute_photometry_with_a_share_is_said():
    text, _ = written(sets=[(-1, "LED", 2000.0, "3000", "70", 33.0)])
    found = read_eulumdat(text)
    assert (found.lumens, found.lor) == (pytest.approx(1700.0), 1.0)
    assert "absolute" in found.warnings[0]
    assert zonal_lumens(found.c_deg, found.gamma_deg, found.candela) == pytest.approx(found.lumens, rel=1e-6)


def test_the_conversion_factor_multiplies():
    _, table = written()
    half = eulumdat(EVEN, GAMMA, stored_rows(table / 2, 3), isym=3, lorl=85.0, factor=2)
    found = read_eulumdat(half)
    np.testing.assert_allclose(found.candela, table, rtol=1e-8)
    assert "conversion factor" in found.warnings[0]
    none = eulumdat(EVEN, GAMMA, stored_rows(table, 3), isym=3, lorl=85.0, factor=0)
    assert "1 is taken" in read_eulumdat(none).warnings[0]


@pytest.mark.parametrize(
    ("off", "outcome"),
    [
        (1.0, ""),
        (1.029, ""),
        (0.971, ""),
        (1.035, "+3.5 %"),
        (0.965, "-3.5 %"),
        (1.09, "+9.0 %"),
        (1.11, None),
        (0.89, None),
    ],
)
def test_a_flux_off_by_3_percent_is_said_and_by_10_refused(off, outcome):
    text, table = written()
    text = eulumdat(EVEN, GAMMA, stored_rows(table * off, 3), isym=3, lorl=85.0)
    if outcome is None:
        with pytest.raises(LuminaireError, match="integrates to"):
            read_eulumdat(text)
    else:
        warnings = read_eulumdat(text).warnings
        assert bool(warnings) == bool(outcome)
        assert not outcome or outcome in warnings[0]


def test_shares_are_as_the_standard_has_them():
    found = read_eulumdat(written(dff=99.0)[0])
    assert (found.dff, found.ulor) == (0.99, pytest.approx(0.85 * 0.01))
    assert not found.warnings
    assert "DFF" in read_eulumdat(written(dff=60.0)[0]).warnings[0]


def test_sizes_are_metres_and_round_without_a_width():
    assert read_eulumdat(written()[0]).size_m == (0.5, 0.2, 0.02)
    assert read_eulumdat(written(size=(400.0, 0.0))[0]).size_m == (0.4, 0.4, 0.02)


def test_a_tilt_in_the_measurement_and_a_wrong_step_are_said():
    assert "tilt of 15" in read_eulumdat(written(tilt=15.0)[0]).warnings[0]
    assert "30 degrees apart" in read_eulumdat(written(dc=30.0)[0]).warnings[0]
    assert not read_eulumdat(written(dc=15.0, dg=5.0)[0]).warnings


def test_a_last_line_without_an_end_is_said_and_blank_lines_behind_are_nothing():
    text, _ = written()
    assert "line end" in read_eulumdat(text[:-1]).warnings[0]
    assert not read_eulumdat(text + "\n \n").warnings


LINES = written(3)[0].split("\n")


def changed(number, value):
    return "\n".join([*LINES[: number - 1], value, *LINES[number:]])


@pytest.mark.parametrize(
    ("number", "value", "word"),
    [
        (3, "5", "Isym on line 3 is 5"),
        (3, "", "line 3 (Isym) is ''"),
        (3, "1.5", "Isym on line 3 is 1.5"),
        (4, "1000000000", "1e+09"),
        (4, "0", "C planes on line 4 is 0"),
        (4, "22", "expected a multiple of 4"),
        (6, "1000000000", "gammas on line 6 is 1e+09"),
        (6, "1", "gammas on line 6 is 1"),
        (6, "20", "the file ends at line"),
        (6, "18", "should be the end"),
        (22, "120", "DFF on line 22 is 120"),
        (23, "0", "LORL on line 23 is 0"),
        (23, "-1", "LORL on line 23 is -1"),
        (23, "850", "LORL on line 23 is 850"),
        (24, "-1", "conversion factor"),
        (24, "x", "line 24 (the conversion factor) is 'x'"),
        (26, "0", "sets of lamps on line 26 is 0"),
        (26, "1000000000", "sets of lamps"),
        (27, "0", "number of lamps of set 1 is 0"),
        (29, "0", "flux of set 1 is 0"),
        (29, "", "flux of set 1"),
        (29, "1e400", "beyond anything"),
        (32, "-5", "watts of set 1 are -5"),
        (36, "x", "line 36 (a direct ratio) is 'x'"),
        (44, "0", "C angles do not ascend"),
        (44, "370", "C angle 370"),
        (44, "16", "not symmetric"),
        (43, "-1", "C angle -1"),
        (67, "190", "gamma angle 190"),
        (70, "nan", "line 70 is 'nan'"),
        (100, "-3", "negative"),
        (100, "", "line 100 is ''"),
        (100, "1 2", "line 100 is '1 2'"),
        (100, "1,234.5", "line 100 is '1,234.5'"),
        (100, "inf", "line 100 is 'inf'"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(number, value, word):
    with pytest.raises(LuminaireError) as refusal:
        read_eulumdat(changed(number, value))
    assert word in str(refusal.value)


def test_a_table_of_zeros_is_refused():
    with pytest.raises(LuminaireError, match="all intensities are zero"):
        read_eulumdat(eulumdat([0.0], GAMMA, np.zeros(19), isym=1, lorl=85.0))


def ldt_head(isym, planes, gammas):
    return "\n".join(
        ["M", "1", isym, planes, "0", gammas, "0", *["a"] * 5, *["1"] * 14, *["1"] * 6, *["0.5"] * 10]
    ).encode()


HOSTILE = {
    "a billion planes": ldt_head("0", "1000000000", "19"),
    "a billion gammas": ldt_head("0", "24", "1000000000"),
    "as many as it may": ldt_head("0", "721", "721"),
    "and as many lines": ldt_head("0", "400", "600") + b"\n1" * (400 * 600 + 999),
    "empty": b"",
    "binary": bytes(range(256)) * 9,
    "one endless line": b"1" * (MOST_BYTES - 20),
    "endless lines": b"\n1" * (MOST_BYTES // 2),
    "endless blank lines": b"M" + b"\n" * (MOST_BYTES - 20),
    "short": b"M\n1\n1\n1\n0\n19\n5\n",
    "endless first lines": b"x\n" * 5 + b"9" * (MOST_BYTES - 100),
    "words behind a good head": ldt_head("0", "24", "19") + b"\nx" * (24 + 19 + 24 * 19),
    "endless words": ldt_head("0", "24", "19") + b"\n" + b"1 " * 1_000_000 + b"\n0" * (24 + 18 + 24 * 19),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_fail_with_a_sentence_and_soon(name):
    took = []
    for _ in range(3):
        start = time.process_time()
        with pytest.raises(LuminaireError) as refusal:
            luminaire_from(HOSTILE[name], ".ldt")
        took.append(time.process_time() - start)
    assert len(str(refusal.value)) < 400
    assert "\n" not in str(refusal.value)
    assert min(took) < 0.05, f"{1000 * min(took):.0f} ms"


SMALL = written(4, np.arange(0.0, 360.0, 45.0))[0].encode()


def test_a_file_cut_at_any_byte_is_refused_or_said():
    whole = luminaire_from(SMALL, ".ldt")
    refused = 0
    for end in range(len(SMALL)):
        try:
            found = luminaire_from(SMALL[:end], ".ldt")
        except LuminaireError as error:
            refused += 1
            assert "\n" not in str(error)
        else:  # its last number may have been cut, which only the missing line end tells
            assert end >= len(SMALL) - 20
            assert any("line end" in said for said in found.warnings)
            np.testing.assert_array_equal(found.candela[:2], whole.candela[:2])
    assert refused > len(SMALL) - 20


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_file_with_any_line_changed_is_read_or_refused(data):
    lines = SMALL.decode().split("\n")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at] = data.draw(st.sampled_from([*WORDS, "", "4", "2", "-2"]))
    sound("\n".join(lines).encode(), ".ldt")


@given(st.binary(max_size=300), st.sampled_from([b"", ldt_head("1", "1", "2"), ldt_head("0", "2", "2") + b"\n"]))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused(raw, before):
    sound(before + raw, ".ldt")


@given(
    seed=st.integers(0, 2**32 - 1), isym=st.sampled_from(sorted(WORD)), uneven=st.booleans(), comma=st.booleans(),
    lumens=st.floats(100.0, 50_000.0), absolute=st.booleans(), end=st.sampled_from(["\n", "\r\n", "\r"]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(seed, isym, uneven, comma, lumens, absolute, end):
    planes = UNEVEN if uneven else EVEN
    noise = np.random.default_rng(seed).uniform(0.5, 1.0, (24, GAMMA.size))
    mirror = {2: -np.arange(24) % 24, 3: (12 - np.arange(24)) % 24, 4: -np.arange(24) % 24}
    table = noise if isym not in mirror else noise + noise[mirror[isym]]
    table = table + table[(12 - np.arange(24)) % 24] if isym == 4 else table
    table = np.tile(table[:1], (24, 1)) if isym == 1 else table
    table = table * (1000.0 / zonal_lumens(planes, GAMMA, table))
    lamps = -1 if absolute else 2
    text = eulumdat(
        planes, GAMMA, stored_rows(table, isym), isym=isym, lorl=100.0, decimal="," if comma else ".", end=end,
        sets=[(lamps, "LED", lumens, "", "", 20.0)],
    )  # fmt: skip
    found = luminaire_from(text.encode(), ".ldt")
    c, gamma = np.meshgrid(planes, GAMMA, indexing="ij")
    np.testing.assert_allclose(found.intensity(c, gamma), table * lumens / 1000.0, rtol=1e-6)
    assert found.lumens == pytest.approx(lumens, rel=1e-8)


def test_one_luminaire_written_both_ways_is_the_same_after_the_roll():
    """EULUMDAT with its street at C 90, LM-63 with the same at C 0: I_cie(C) = I_iesna(C - 90)."""
    text, _ = written(3)
    cie = read_eulumdat(text)
    around = np.append(EVEN, 360.0)
    turned = cie.intensity(*np.meshgrid(around + 90.0, GAMMA, indexing="ij"))
    iesna = read_lm63(lm63(around[:13], GAMMA, turned[:13]))
    assert (iesna.symmetry, cie.symmetry) == ("c0-c180", "c90-c270")
    rolled = iesna.towards_street("street-c0")
    same = cie.towards_street("street-c90")
    np.testing.assert_array_equal(rolled.c_deg, same.c_deg)
    np.testing.assert_allclose(rolled.candela, same.candela, atol=1e-6)
    assert rolled.symmetry == "c90-c270"
    assert np.abs(iesna.candela - cie.candela).max() > 50


@pytest.mark.parametrize("degrees", [90.0, -90.0, 180.0, 33.0, 360.0])
def test_a_roll_keeps_all_light_and_moves_it(degrees):
    lantern = read_eulumdat(written(3, UNEVEN)[0])
    rolled = lantern.rolled(degrees)
    c, gamma = np.meshgrid(np.arange(0.0, 360.0, 7.0), np.arange(0.0, 91.0, 4.0))
    np.testing.assert_allclose(rolled.intensity(c + degrees, gamma), lantern.intensity(c, gamma), rtol=1e-9, atol=1e-9)
    assert zonal_lumens(rolled.c_deg, GAMMA, rolled.candela) == pytest.approx(
        zonal_lumens(lantern.c_deg, GAMMA, lantern.candela), rel=1e-9
    )
    assert rolled.c_deg[0] == 0


@pytest.mark.parametrize(
    ("name", "per_klm", "symmetry", "lumens"),
    [
        ("road_luminaire.ldt", 841.1, "c90-c270", 33_200.0),
        ("luxpy_test_lid_file.ldt", 880.1, "quadrant", 6_000.0),
        ("demo_two_lamp_sets.ldt", 775.5, "c90-c270", 9_408.0),
    ],
)
def test_real_files_give_their_declared_flux(name, per_klm, symmetry, lumens):
    found = read_luminaire(shared_data(f"photometry/{name}"))
    assert found.lumens_per_klm == pytest.approx(per_klm, abs=0.05)
    assert (found.symmetry, found.lumens) == (symmetry, lumens)


@pytest.mark.parametrize(("name", "per_klm"), [("wiki-batwing.ldt", "2,916.1"), ("wiki-flood.ldt", "1,568.1")])
def test_files_made_up_by_hand_are_refused(name, per_klm):
    with pytest.raises(LuminaireError, match=f"integrates to {per_klm}"):
        read_luminaire(shared_data(f"photometry/{name}"))
