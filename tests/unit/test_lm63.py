"""Laws of LM-63 files: every edition, every symmetry, every factor; and whatever is wrong is one sentence."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensors.errors import LuminaireError
from sensors.lm63 import GENERATIONS, read_lm63
from sensors.luminaire_files import luminaire_from, read_luminaire
from sensors.photometric_text import MOST_BYTES
from tests.photometric_files import lambert, lm63, street_like, zonal_lumens
from tests.reference import luminaire_symmetry
from tests.shared_data import shared_data

GAMMA = np.arange(0.0, 91.0, 5.0)
C, G, TABLE = lambert()
UNEVEN = np.array([0.0, 5, 12.5, 20, 35, 60, 90])
SYMMETRIES = {
    "axial": np.zeros(1),
    "quadrant": UNEVEN,
    "c0-c180": np.concatenate([UNEVEN, [110, 150, 175, 180]]),
    "c90-c270": np.concatenate([[90.0], [95, 130, 180, 200, 260, 270]]),
    "none": np.concatenate([UNEVEN, [130, 200, 270, 300, 360]]),
}


def absolute(**changes):
    return lm63(C, G, TABLE, **changes)


def test_a_flat_plate_gives_pi_times_its_peak():
    gamma = np.arange(0.0, 90.5, 0.5)
    found = read_lm63(lm63([0.0], gamma, 100 * np.cos(np.radians(gamma))))
    assert found.lumens == pytest.approx(100 * math.pi, rel=2e-5)
    assert (found.lor, found.dff, found.ulor, found.symmetry) == (1.0, 1.0, 0.0, "axial")
    assert found.lumens_per_klm == 1000.0


@pytest.mark.parametrize(
    ("first", "form"),
    [
        ("", "LM-63-1986"),
        ("IESNA91", "LM-63-1991"),
        ("IESNA:LM-63-1991", "LM-63-1991"),
        ("IESNA:LM-63-1995", "LM-63-1995"),
        ("IESNA:LM-63-2002", "LM-63-2002"),
        ("iesna: LM-63-2002", "LM-63-2002"),
        ("IES:LM-63-2019", "LM-63-2019"),
    ],
)
def test_every_edition_is_read(first, form):
    keywords = ("Some Maker", "a free line") if not first else ("[TEST] 1",)
    found = luminaire_from(absolute(edition=first, keywords=keywords).encode(), ".ies")
    assert found.form == form
    np.testing.assert_allclose(found.candela, TABLE, rtol=1e-9)
    assert not found.warnings


def test_an_unknown_edition_is_read_and_said():
    found = read_lm63(absolute(edition="IESNA:LM-63-2031"))
    assert found.form == "LM-63-2002"
    assert "2031" in found.warnings[0]


def test_all_factors_multiply_the_candela():
    found = read_lm63(absolute(edition="IESNA91", multiplier=2.0, ballast=0.9, second=0.5))
    np.testing.assert_allclose(found.candela, 0.9 * TABLE, rtol=1e-9)


def test_the_factor_of_future_use_counts_and_is_said():
    found = read_lm63(absolute(second=0.5))
    np.testing.assert_allclose(found.candela, 0.5 * TABLE, rtol=1e-9)
    assert "future use" in found.warnings[0]


@pytest.mark.parametrize("code", GENERATIONS)
def test_a_type_of_file_generation_is_no_factor(code):
    found = read_lm63(absolute(edition="IES:LM-63-2019", second=code))
    np.testing.assert_allclose(found.candela, TABLE, rtol=1e-9)
    assert any("simulation" in said for said in found.warnings) == (code == "1.00010")


def test_an_unknown_type_of_file_generation_is_said_and_no_factor():
    found = read_lm63(absolute(edition="IES:LM-63-2019", second=0.8))
    np.testing.assert_allclose(found.candela, TABLE, rtol=1e-9)
    assert "no type of file generation" in found.warnings[0]


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_symmetry_expands_as_the_plain_reference_says(symmetry):
    planes = SYMMETRIES[symmetry]
    facing = 0.0 if symmetry in ("c0-c180", "quadrant") else 90.0
    table = street_like(planes, GAMMA, facing) + 1.0
    if symmetry == "none":
        table[-1] = table[0]
    found = read_lm63(lm63(planes, GAMMA, table))
    assert found.symmetry == symmetry
    for c in (0.0, 3.0, 45.0, 90.0, 91.0, 137.0, 180.0, 201.5, 270.0, 299.0, 359.0):
        for gamma in (0.0, 12.0, 60.0, 88.0, 90.0):
            expected = luminaire_symmetry.intensity(list(planes), list(GAMMA), table.tolist(), symmetry, c, gamma)
            assert float(found.intensity(c, gamma)) == pytest.approx(expected, rel=1e-8), (c, gamma)
    assert found.c_deg[0] == 0
    assert np.all(np.diff(found.c_deg) > 0)
    assert found.c_deg[-1] < 360
    assert found.lumens == pytest.approx(zonal_lumens(found.c_deg, found.gamma_deg, found.candela), rel=1e-12)


def test_a_quadrant_holds_a_quarter_of_the_light_of_the_same_table_in_full():
    around = np.arange(0.0, 360.0, 15.0)
    table = street_like(around, GAMMA, 0.0)
    # the mean of all four images is a quadrant
    mirrored = 0.25 * (
        table + table[-np.arange(24)] + table[(12 - np.arange(24)) % 24] + table[(12 + np.arange(24)) % 24]
    )
    full = read_lm63(lm63(np.append(around, 360.0), GAMMA, np.vstack([mirrored, mirrored[:1]])))
    quarter = read_lm63(lm63(around[:7], GAMMA, mirrored[:7]))
    np.testing.assert_allclose(quarter.candela, full.candela, rtol=1e-8)
    assert quarter.lumens == pytest.approx(full.lumens, rel=1e-9)


def test_a_circle_that_lacks_its_last_plane_is_closed_and_said():
    around = np.arange(0.0, 360.0, 15.0)
    found = read_lm63(lm63(around, GAMMA, street_like(around, GAMMA)))
    assert found.symmetry == "none"
    assert "closed" in found.warnings[0]


def test_a_seam_that_does_not_meet_is_said():
    around = np.arange(0.0, 361.0, 15.0)
    table = street_like(around, GAMMA)
    table[-1] *= 0.9
    assert "C 0 and C 360 differ" in read_lm63(lm63(around, GAMMA, table)).warnings[0]


@pytest.mark.parametrize("wrap", [1, 3, 7, 1000])
@pytest.mark.parametrize("between", [" ", ",", ", ", "\t", "   "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_numbers_are_parted_and_wrapped_in_any_way(wrap, between, end):
    text = lm63(UNEVEN, GAMMA, street_like(UNEVEN, GAMMA), wrap=wrap, between=between, end=end)
    found = luminaire_from(text.encode(), ".ies")
    np.testing.assert_allclose(found.candela[:7], street_like(UNEVEN, GAMMA), rtol=1e-8)


def test_feet_are_metres_in_the_end_and_negative_sizes_are_round():
    assert read_lm63(absolute(units=1, size=(1.0, 2.0, 0.5))).size_m == pytest.approx((0.6096, 0.3048, 0.1524))
    assert read_lm63(absolute(size=(-0.4, 0.0, 0.0))).size_m == (0.4, 0.4, 0.0)
    assert read_lm63(absolute(size=(-0.4, -0.4, 0.1))).size_m == (0.4, 0.4, 0.1)


def test_relative_photometry_says_what_share_of_the_lamps_light_leaves():
    flux = read_lm63(absolute()).lumens
    found = read_lm63(absolute(lumens=flux / 1.6, lamps=2))
    assert found.lor == pytest.approx(0.8)
    assert found.lumens_per_klm == pytest.approx(800.0)
    assert found.lumens == pytest.approx(flux)
    assert not found.warnings


@pytest.mark.parametrize(("share", "outcome"), [(0.98, "well"), (0.95, "said"), (0.85, "refused"), (20.0, "little")])
def test_light_that_the_lamps_cannot_give_is_said_or_refused(share, outcome):
    flux = read_lm63(absolute()).lumens
    text = absolute(lumens=flux * share)
    if outcome == "refused":
        with pytest.raises(LuminaireError, match=r"its lamps' light declares"):
            read_lm63(text)
        return
    warnings = read_lm63(text).warnings
    assert bool(warnings) == (outcome != "well")
    assert outcome != "little" or "of the lamps' light leaves" in warnings[0]


def test_lumens_that_a_maker_states_in_a_keyword_are_compared():
    flux = read_lm63(absolute()).lumens
    for stated, warned in ((flux, False), (1.02 * flux, False), (1.2 * flux, True), ("unknown", False), (0, False)):
        found = read_lm63(absolute(keywords=(f"[_ABSOLUTE LUMENS] {stated}",)))
        assert any("keyword" in said for said in found.warnings) == warned


def test_watts_that_are_not_said_are_not_known():
    assert math.isnan(read_lm63(absolute(watts=0)).watts)
    assert read_lm63(absolute(watts=43.5)).watts == 43.5


def test_upward_light_is_counted_apart():
    gamma = np.arange(0.0, 180.5, 2.5)
    found = read_lm63(lm63([0.0], gamma, np.full(gamma.size, 50.0)))
    assert found.lumens == pytest.approx(4 * math.pi * 50)
    assert found.dff == pytest.approx(0.5)
    assert found.ulor == pytest.approx(0.5)


def test_a_zone_across_the_horizon_is_parted_there():
    gamma = np.array([0.0, 80.0, 100.0, 180.0])
    found = read_lm63(lm63([0.0], gamma, np.full(4, 50.0)))
    assert found.dff == pytest.approx(0.5)


TILT = "TILT=INCLUDE\n1\n3\n0 45 90\n{} 0.95 0.9"


def test_tilt_factors_are_read_over_and_said():
    found = read_lm63(absolute(tilt=TILT.format(1)))
    np.testing.assert_allclose(found.candela, TABLE, rtol=1e-9)
    assert "0.9 to 1" in found.warnings[0]


def test_the_tilt_factor_of_the_luminaire_as_measured_counts():
    found = read_lm63(absolute(tilt=TILT.format(0.8)))
    np.testing.assert_allclose(found.candela, 0.8 * TABLE, rtol=1e-9)
    assert "0.8" in found.warnings[0]


def test_a_tilt_file_beside_the_file_is_read(tmp_path):
    (tmp_path / "MH.TLT").write_text("1\n2\n0 90\n0.7 0.6\n")
    file = tmp_path / "a.ies"
    file.write_text(absolute(tilt="TILT=C:\\tilt\\mh.tlt"))
    np.testing.assert_allclose(read_luminaire(file).candela, 0.7 * TABLE, rtol=1e-9)


def test_a_tilt_file_that_is_not_there_is_said_and_nothing_else_is_opened(tmp_path):
    (tmp_path / "secret").write_text("1\n1\n0\n1\n")
    below = tmp_path / "below"
    below.mkdir()
    file = below / "a.ies"
    file.write_text(absolute(tilt="TILT=../secret"))
    with pytest.raises(LuminaireError, match="no such file beside"):
        read_luminaire(file)
    with pytest.raises(LuminaireError, match="not at hand"):
        read_lm63(absolute(tilt="TILT=x.tlt"))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"kind": 2}, "type B"),
        ({"kind": 3}, "type A"),
        ({"kind": 4}, "the type of photometry is 4"),
        ({"units": 3}, "unit of length"),
        ({"lamps": 0}, "number of lamps"),
        ({"lamps": 1.5}, "number of lamps"),
        ({"lumens": 0}, "lumens of a lamp are 0"),
        ({"lumens": -2}, "lumens of a lamp are -2"),
        ({"multiplier": 0}, "the multiplier is 0"),
        ({"watts": -5}, "the watts are -5"),
        ({"ballast": -1}, "the ballast factor is -1"),
        ({"multiplier": "nan"}, "'nan'"),
        ({"watts": "inf"}, "'inf'"),
        ({"multiplier": "1e400"}, "1e400"),
        ({"multiplier": "1.2.3"}, "1.2.3"),
        ({"multiplier": "1_0"}, "1_0"),
        ({"tilt": "TILT="}, "TILT= says nothing"),
        ({"tilt": "TILTED"}, "no line TILT="),
        ({"tilt": "TILT=INCLUDE\n1\n1000000000\n0 1\n1 1"}, "number of tilts"),
        ({"tilt": "TILT=INCLUDE\n7\n1\n0\n1"}, "geometry"),
        ({"tilt": "TILT=INCLUDE\n1\n2\n45 0\n1 1"}, "do not ascend"),
        ({"tilt": "TILT=INCLUDE\n1\n2\n0 45\n0 1"}, "factor of TILT at 0"),
    ],
)
def test_what_is_wrong_with_the_head_is_said(changes, word):
    with pytest.raises(LuminaireError) as refusal:
        read_lm63(absolute(**changes))
    assert word in str(refusal.value)


@pytest.mark.parametrize(
    ("planes", "gamma", "table", "word"),
    [
        ([0.0], [0.0, 50, 40, 90], np.ones(4), "do not ascend: 50 is followed by 40"),
        ([0.0], [0.0, 50, 50, 90], np.ones(4), "do not ascend"),
        ([0.0], [-10.0, 50, 60, 90], np.ones(4), "-10 does not lie"),
        ([0.0], [0.0, 50, 60, 190], np.ones(4), "190 does not lie"),
        ([0.0], [0.0, 90], [1.0, -0.5], "negative"),
        ([0.0], [0.0, 90], [0.0, 0.0], "all intensities are zero"),
        ([0.0, 45], [0.0, 90], np.ones((2, 2)), "end at 45"),
        ([0.0, 400], [0.0, 90], np.ones((2, 2)), "400 does not lie"),
        ([45.0, 90], [0.0, 90], np.ones((2, 2)), "run from 45 to 90"),
        ([30.0], [0.0, 90], np.ones((1, 2)), "only horizontal angle is 30"),
        ([0.0], [90.0], np.ones((1, 1)), "vertical angles is 1"),
        ([0.0], [0.0, 1e-9], np.ones((1, 2)), "no flux"),
    ],
)
def test_what_is_wrong_with_the_table_is_said(planes, gamma, table, word):
    with pytest.raises(LuminaireError) as refusal:
        read_lm63(lm63(planes, gamma, table))
    assert word in str(refusal.value)


def test_decimal_commas_are_refused_with_a_hint():
    text = absolute()
    head, numbers = text.split("TILT=NONE\n")
    with pytest.raises(LuminaireError, match="commas"):
        read_lm63(head + "TILT=NONE\n" + numbers.replace(".", ","))
    rows = numbers.split("\n")
    rows[-2] = rows[-2] + " 7"
    with pytest.raises(LuminaireError, match="1 numbers too many"):
        read_lm63(head + "TILT=NONE\n" + "\n".join(rows))


BILLION = "IESNA:LM-63-1995\nTILT=NONE\n1 -1 1 {} {} 1 2 0 0 0\n1 1 1\n0 90\n0\n1 1\n"
HOSTILE = {
    "a billion gammas": BILLION.format(10**9, 1).encode(),
    "a billion planes": BILLION.format(2, 10**9).encode(),
    "both": BILLION.format(10**9, 10**9).encode(),
    "1e400 gammas": BILLION.format("1e400", 1).encode(),
    "-1 gammas": BILLION.format(-1, 1).encode(),
    "nan gammas": BILLION.format("nan", 1).encode(),
    "empty": b"",
    "blank": b" \n\r\n\t",
    "binary": bytes(range(256)) * 4,
    "nothing but NUL": b"\0" * 100_000,
    "UTF-16": "IESNA:LM-63-1995\nTILT=NONE".encode("utf-16"),
    "one endless line": b"1 " * (MOST_BYTES // 2),
    "one endless word": b"TILT=NONE\n" + b"1" * (MOST_BYTES - 20),
    "endless line behind TILT": b"TILT=NONE\n" + b"1 " * (MOST_BYTES // 2 - 20),
    "endless lines": b"\n" * MOST_BYTES,
    "endless keywords": b"[A]\n" * (MOST_BYTES // 4 - 10) + b"\nTILT=NONE\n1",
    "endless brackets": b"[" * (MOST_BYTES - 20) + b"\nTILT=NONE\n",
    "endless TILT": b"TILT" * (MOST_BYTES // 4),
    "spaces before TILT": b" " * (MOST_BYTES - 20) + b"TILT",
    "garbage at the end": b"TILT=NONE\n" + b"1 " * (MOST_BYTES // 2 - 40) + b"x",
    "Latin-1 among numbers": "TILT=NONE\n1 -1 1 2 1 1 2 0 0 0\n1 1 1\n0 90\n0\n1 é\n".encode("latin-1"),
    "as many numbers as it may": BILLION.format(400, 700).encode() + b"1 " * (400 * 700),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_fail_with_a_sentence_and_soon(name):
    took = []
    for _ in range(2):
        start = time.process_time()
        for suffix in (".ies", ""):
            with pytest.raises(LuminaireError) as refusal:
                luminaire_from(HOSTILE[name], suffix)
        took.append((time.process_time() - start) / 2)
    assert len(str(refusal.value)) < 400
    assert "\n" not in str(refusal.value)
    assert min(took) < 0.05, f"{1000 * min(took):.0f} ms"


def test_what_is_no_file_is_said(tmp_path):
    big = tmp_path / "big.ies"
    with big.open("wb") as file:
        file.truncate(10**9)
    start = time.process_time()
    for path, word in ((tmp_path, "is no file"), (big, "1,000.0 MB"), (tmp_path / "none.ies", "cannot be read")):
        with pytest.raises(LuminaireError, match=word):
            read_luminaire(path)
    with pytest.raises(LuminaireError, match="is no file"):
        read_luminaire("/dev/zero")
    with pytest.raises(LuminaireError, match="cannot be read"):
        read_luminaire("a\0b")
    assert time.process_time() - start < 0.05


def test_names_in_latin_1_and_in_utf_8_with_a_mark_are_read():
    text = absolute(keywords=("[LUMINAIRE] Réverbère 4000 K",))
    for raw in (text.encode("latin-1"), text.encode("utf-8"), text.encode("utf-8-sig"), text.encode() + b"\x1a"):
        assert luminaire_from(raw, ".ies").name == "Réverbère 4000 K"


def test_a_file_without_a_name_has_that_of_its_file(tmp_path):
    (tmp_path / "lantern-a.IES").write_text(absolute(keywords=()))
    assert read_luminaire(tmp_path / "lantern-a.IES").name == "lantern-a"


SMALL = lm63(UNEVEN, GAMMA[::3], np.round(street_like(UNEVEN, GAMMA[::3]), 2) + 1.25, wrap=5).encode()


def test_a_file_cut_at_any_byte_is_refused_or_said():
    whole = luminaire_from(SMALL, ".ies")
    for end in range(len(SMALL)):
        try:
            found = luminaire_from(SMALL[:end], ".ies")
        except LuminaireError as error:
            assert str(error)
        else:  # its last number may have been cut, which only the missing line end tells
            assert end >= len(SMALL) - 10
            assert any("line end" in said for said in found.warnings)
            np.testing.assert_array_equal(found.candela[:6], whole.candela[:6])


WORDS = [
    *("0", "-1", "1e400", "nan", "inf", "1e308", "-1e-400", "1000000000", "1.5", "1,5", "x", "é", "--", "1e", "+"),
    *("0x10", "1_000", "[", "TILT=NONE", "\0", "٣", "9" * 300),
]


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_file_with_any_word_changed_is_read_or_refused(data):
    words = SMALL.decode().split(" ")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(words) - 1))
        words[at] = data.draw(st.sampled_from(WORDS))
    sound(" ".join(words).encode(), ".ies")


@given(st.binary(max_size=300), st.sampled_from([b"", b"IESNA:LM-63-1995\n", b"TILT=NONE\n", b"TILT=INCLUDE\n"]))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused(raw, before):
    sound(before + raw, ".ies")


@given(
    seed=st.integers(0, 2**32 - 1),
    symmetry=st.sampled_from(sorted(SYMMETRIES)),
    factor=st.floats(0.01, 100.0),
    wrap=st.integers(1, 20),
    edition=st.sampled_from(["IESNA91", "IESNA:LM-63-1995", "IESNA:LM-63-2002", "IES:LM-63-2019"]),
)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(seed, symmetry, factor, wrap, edition):
    table = np.random.default_rng(seed).uniform(0.1, 5000.0, (SYMMETRIES[symmetry].size, GAMMA.size))
    if symmetry == "none":
        table[-1] = table[0]
    found = read_lm63(lm63(SYMMETRIES[symmetry], GAMMA, table, edition=edition, multiplier=factor, wrap=wrap))
    c, gamma = np.meshgrid(SYMMETRIES[symmetry], GAMMA, indexing="ij")
    np.testing.assert_allclose(found.intensity(c, gamma), factor * table, rtol=1e-6)


def sound(raw: bytes, suffix: str) -> None:
    """Read or refused with one sentence; what is read is a luminaire."""
    try:
        found = luminaire_from(raw, suffix)
    except LuminaireError as error:
        assert str(error)
        assert "\n" not in str(error)
        return
    assert np.isfinite(found.candela).all()
    assert found.candela.min() >= 0
    assert found.candela.shape == (found.c_deg.size, found.gamma_deg.size)
    assert found.lumens > 0
    assert 0 <= found.dff <= 1


def test_one_real_luminaire_is_the_same_in_both_formats():
    """The maker's two files of it have the same planes: no roll between them, whatever is usual for the formats."""
    ies = read_luminaire(shared_data("photometry/luxpy_test_lid_file.ies"))
    ldt = read_luminaire(shared_data("photometry/luxpy_test_lid_file.ldt"))
    assert (ies.form, ies.symmetry, ies.lumens_per_klm) == ("LM-63-1995", "quadrant", pytest.approx(880.12, abs=0.01))
    np.testing.assert_allclose(ies.candela, ldt.candela, atol=0.01)
    assert ies.lumens == pytest.approx(5280.7, abs=0.1)
    assert ldt.lumens == 6000.0
