"""An audit's feeling is an answer; its eight parameters describe the place, are kept by section and used by no fit."""

from __future__ import annotations

import pandas as pd
import pytest
from pyproj import Transformer

from analytics.fitting import answers_to_fit
from ingest.archive import answers
from ingest.audits import PARAMETERS, as_csv, audits, import_audits, remove_audits
from sensors.errors import AnswerError
from tests.synthetic_city import CRS, SOUTH, WEST, make_city

TO_LONLAT = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)


def walked(**changes):
    """A made-up audit of three auditors at one stop and one at another."""
    spots = [TO_LONLAT.transform(WEST + 100 + (120 if i == 3 else i), SOUTH + 160) for i in range(4)]
    table = {
        "response_id": [f"stop-{i}" for i in range(4)],
        "lon": [spot[0] for spot in spots],
        "lat": [spot[1] for spot in spots],
        "time": [f"2026-11-10T{19 + i % 2}:00:00Z" for i in range(4)],
        "pseudonym": ["a", "b", "c", "a"],
        "auditor_name": ["Anna Nym"] * 4,
        "feeling": [0, 1, 2, 3],
        "Walk Path": [0, 1, 3, ""],
        **{name: [1, 2, 3, 0] for name in PARAMETERS if name != "walk_path"},
    }
    return pd.DataFrame(table | changes)


def written(tmp_path, table):
    file = tmp_path / "audit.csv"
    table.to_csv(file, index=False)
    return file


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path / "town")


def test_ratings_are_medians_of_auditors_by_section_and_feelings_are_answers(city, tmp_path):
    taken = import_audits(city, written(tmp_path, walked()), simulated=True)
    assert (taken.rows, taken.feelings, taken.sections, taken.problems) == (4, 4, 2, [])
    kept = audits(city)
    path = kept[kept["parameter"] == "walk_path"]
    assert path[["median", "lowest", "highest", "auditors"]].to_numpy().tolist() == [[1.0, 0, 3, 3]]
    felt = answers(city)
    assert sorted(felt["category"]) == [1, 2, 3, 4] and set(felt["instrument"]) == {"audit-feeling-4"}
    assert set(felt["trigger"]) == {"panel"} and set(felt["light_state"]) == {"dark"}
    assert len(answers_to_fit(city, None)[0]) == 4


def test_one_auditor_who_passes_twice_is_one_voice(city, tmp_path):
    table = walked(pseudonym=["a", "a", "b", "b"], lighting=[0, 0, 3, 1])
    import_audits(city, written(tmp_path, table), simulated=True)
    light = audits(city).query("parameter == 'lighting' and auditors == 2")
    assert light["median"].tolist() == [1.5]


def test_nothing_of_who_rated_is_kept_or_handed_out(city, tmp_path):
    import_audits(city, written(tmp_path, walked(pseudonym="secret-person")), simulated=True)
    stored = b"".join(path.read_bytes() for path in city.shelf().rglob("*") if path.is_file())
    text = as_csv(city)
    for word in ("Anna", "secret-person", "stop-1"):
        assert word.encode() not in stored and word not in text
    assert text.startswith("longitude,latitude,parameter,median")


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [("lighting", 4, "lighting '4' is not 0 to 3"), ("feeling", "good", "feeling 'good' is not 0 to 3")],
)
def test_a_rating_out_of_range_is_told_and_counts_for_nothing(city, tmp_path, column, value, why):
    table = walked().astype(object)
    table.loc[1, column] = value
    taken = import_audits(city, written(tmp_path, table), simulated=True)
    assert taken.problems == [f"row 3: {why}"]
    assert taken.feelings == (3 if column == "feeling" else 4)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"lat": 2.0}, "holds no audit that can be taken"),
        ({"time": "yesterday"}, "holds no audit that can be taken"),
    ],
)
def test_a_file_of_which_nothing_can_be_taken_is_refused(city, tmp_path, change, why):
    with pytest.raises(AnswerError, match=why):
        import_audits(city, written(tmp_path, walked(**change)), simulated=True)


def test_a_file_that_rates_nothing_or_lacks_a_column_says_so(city, tmp_path):
    with pytest.raises(AnswerError, match="rates nothing"):
        import_audits(city, written(tmp_path, walked()[["response_id", "lon", "lat", "time"]]), simulated=True)
    with pytest.raises(AnswerError, match="has no column 'lat'"):
        import_audits(city, written(tmp_path, walked().drop(columns="lat")), simulated=True)
    (tmp_path / "m.toml").write_text('[columns]\nlight = "Lux"\n')
    with pytest.raises(AnswerError, match="names light"):
        import_audits(city, written(tmp_path, walked()), mapping=tmp_path / "m.toml", simulated=True)


def test_an_audit_can_be_removed(city, tmp_path):
    import_audits(city, written(tmp_path, walked()), simulated=True)
    assert remove_audits(city, campaign="audit") == 15 and not len(audits(city))
    with pytest.raises(AnswerError, match="there are no audits"):
        remove_audits(city, campaign="../answers/audit")
