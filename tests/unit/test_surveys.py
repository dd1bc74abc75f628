from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from pyproj import Transformer

from ingest.archive import answers
from ingest.surveys import campaigns, check_answers, import_answers, remove_answers
from sensors.answer import ANSWER_COLUMNS
from sensors.errors import AnswerError, ShelfLocked
from tests.synthetic_city import CRS, SIDE, SOUTH, WEST, make_city

TO_LONLAT = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)


def rows(n=12, seed=0, **columns):
    generator = np.random.default_rng(seed)
    lon, lat = TO_LONLAT.transform(WEST + generator.uniform(0, SIDE, n), SOUTH + generator.uniform(0, SIDE, n))
    table = {
        "response_id": [f"r{i}" for i in range(n)],
        "instrument": "core-4",
        "category": generator.integers(1, 5, n),
        "lon": lon,
        "lat": lat,
        "time": [f"2026-10-{1 + i % 20:02d}T20:{7 * i % 60:02d}:31Z" for i in range(n)],
        "light_state": "dark",
        "gender": "woman",
        "age_band": "25-44",
        "disability": "no",
        "alone": "alone",
        "role": "resident",
        "familiarity": "daily",
        "trigger": "prompted",
        "weight": 1,
        "pseudonym": [f"person {i // 2}" for i in range(n)],
    }
    return pd.DataFrame(table | columns)


def written(tmp_path, table, name="autumn.csv"):
    path = tmp_path / name
    table.to_csv(path, index=False)
    return path


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path / "town")


def test_places_become_middles_of_sections_and_times_quarters_of_an_hour(tmp_path, city):
    import_answers(city, written(tmp_path, rows(60)), simulated=True)
    kept = answers(city)
    middles = city.places("sections").geometry.interpolate(0.5, normalized=True)
    allowed = set(zip(middles.x, middles.y, strict=True))
    assert set(zip(kept["easting"], kept["northing"], strict=True)) <= allowed
    assert (kept["time"].to_numpy().astype("datetime64[ms]").astype(int) % 900_000 == 0).all()
    assert list(kept.columns[: len(ANSWER_COLUMNS)]) == list(ANSWER_COLUMNS)


def test_nothing_of_the_raw_point_the_exact_time_or_the_person_is_on_disk(tmp_path, city):
    table = rows(
        30, pseudonym=[f"anna{i}@example.org" for i in range(30)], email="anna@example.org", note="he was here"
    )
    table["response_id"] = [f"secret-{i}" for i in range(30)]
    table.loc[0, "category"] = 9
    import_answers(city, written(tmp_path, table), simulated=True)
    stored = [path for path in (city.path / "store").rglob("*") if path.is_file()]
    everything = b"".join(path.read_bytes() for path in stored)
    for word in (b"anna", b"secret", b"he was here"):
        assert word not in everything
    kept = pd.read_parquet(city.path / "store/answers/autumn.parquet").astype(str).to_numpy().ravel()
    assert not any(value.startswith(("anna", "secret")) for value in kept)
    assert not any(str(lon)[:7] in value for lon in table["lon"] for value in kept)


def test_the_same_file_twice_changes_nothing(tmp_path, city):
    file = written(tmp_path, rows())
    import_answers(city, file, simulated=True)
    stored = city.path / "store/answers/autumn.parquet"
    before = stored.read_bytes()
    report = import_answers(city, file, simulated=True)
    assert (report.accepted, report.known) == (12, 12)
    assert stored.read_bytes() == before
    more = import_answers(city, written(tmp_path, rows(15)), simulated=True)
    assert more.known == 12 and len(answers(city)) == 15


def test_a_pseudonym_is_one_person_within_a_month_and_another_in_the_next(tmp_path, city):
    times = ["2026-09-10T20:00:00Z", "2026-09-12T20:00:00Z", "2026-10-12T20:00:00Z"]
    import_answers(city, written(tmp_path, rows(3, time=times, pseudonym="anna")), simulated=True)
    kept = answers(city).sort_values("time")["pseudonym"].tolist()
    assert kept[0] == kept[1] != kept[2]


def test_without_pseudonyms_every_answer_is_a_person(tmp_path, city):
    import_answers(city, written(tmp_path, rows(8).drop(columns="pseudonym")), simulated=True)
    assert answers(city)["pseudonym"].nunique() == 8


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("category", 9, "category '9' is not 1 to 4"),
        ("category", "quite nice", "none of the answers of core-4"),
        ("gender", "f", "gender 'f' is none of woman, man"),
        ("time", "2026-10-02 20:00", "with its zone"),
        ("time", "yesterday", "RFC 3339"),
        ("time", "1970-01-01T00:00:00Z", "before the year 2000"),
        ("time", "2026-06-20T10:00:00Z", "full daylight"),
        ("lon", 2.35, "is not in Smalltown"),
        ("lat", 123, "is not on the globe"),
        ("lat", "", "numbers in degrees"),
        ("weight", -1, "weight '-1'"),
        ("instrument", "foca", "instrument 'foca' has no definition"),
        ("response_id", "", "response_id is empty"),
        ("response_id", "r0", "stands in the file twice"),
        ("light_state", "dusk", "light_state 'dusk'"),
        ("light_state", "day", "is after dark, the answer says by day"),
    ],
)
def test_a_wrong_row_is_left_out_and_told_with_its_number(tmp_path, city, column, value, why):
    table = rows().astype(object)
    table.loc[5, column] = value
    report = import_answers(city, written(tmp_path, table), simulated=True)
    assert report.wrong_rows == 1 and report.accepted == 11 == len(answers(city))
    assert len(report.problems) == 1
    assert report.problems[0].startswith("row 7: ") and why in report.problems[0]


def test_all_wrong_rows_are_told_in_one_message(tmp_path, city):
    table = rows().astype(object)
    table.loc[1, "category"], table.loc[4, "gender"], table.loc[4, "time"] = 7, "x", "now"
    report = check_answers(written(tmp_path, table), city=city)
    assert report.wrong_rows == 2 and [text[:5] for text in report.problems] == ["row 3", "row 6", "row 6"]
    assert "2 rows are left out" in report.text()
    assert not (city.path / "store" / "answers").exists()


def test_a_number_of_categories_that_does_not_fit_is_told(tmp_path, city):
    report = check_answers(written(tmp_path, rows(k=5)), city=city)
    assert report.accepted == 0 and "the file says 5 categories, core-4 has 4" in report.problems[0]
    with pytest.raises(AnswerError, match="no answer that can be taken"):
        import_answers(city, written(tmp_path, rows(k=5)), simulated=True)


def test_answers_may_be_words_in_any_language_of_the_instrument(tmp_path, city):
    table = rows(4, category=["Very unsafe", "plutôt pas en sécurité", "fairly safe", "VERY SAFE"])
    import_answers(city, written(tmp_path, table), simulated=True)
    assert sorted(answers(city)["category"]) == [1, 2, 3, 4]


def test_a_mapping_renames_columns_translates_codes_and_gives_times_their_zone(tmp_path, city):
    table = rows(6).rename(columns={"response_id": "ID", "category": "Q1", "gender": "Sex", "time": "When"})
    table["Sex"] = ["F", "M", "F", "M", "F", "M"]
    table["When"] = [f"2026-10-0{i + 1} 23:05" for i in range(6)]
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(
        'zone = "Europe/Helsinki"\n[columns]\nresponse_id = "ID"\ncategory = "Q1"\ngender = "Sex"\ntime = "When"\n'
        '[codes.gender]\nF = "woman"\nM = "man"\n'
    )
    report = import_answers(city, written(tmp_path, table), simulated=True, mapping=mapping)
    assert report.wrong_rows == 0
    kept = answers(city)
    assert sorted(kept["gender"].unique()) == ["man", "woman"]
    assert kept["time"].min() == pd.Timestamp("2026-10-01T20:00")


def test_a_local_time_that_exists_twice_is_not_guessed(tmp_path, city):
    mapping = tmp_path / "mapping.toml"
    mapping.write_text('zone = "Europe/Helsinki"\n')
    report = check_answers(written(tmp_path, rows(1, time="2026-10-25 03:30")), city=city, mapping=mapping)
    assert "cannot be read as local time of Europe/Helsinki" in report.problems[0]


def test_a_mapping_of_columns_that_are_not_there_is_refused(tmp_path, city):
    mapping = tmp_path / "mapping.toml"
    mapping.write_text('[columns]\ncategory = "Q9"\n')
    with pytest.raises(AnswerError, match=r"column 'Q9' \(category\) is missing"):
        check_answers(written(tmp_path, rows()), mapping=mapping)
    mapping.write_text("columns = 3\n")
    with pytest.raises(AnswerError, match="a mapping has"):
        check_answers(written(tmp_path, rows()), mapping=mapping)


def test_missing_columns_are_all_named(tmp_path):
    with pytest.raises(AnswerError, match=r"2 problems|3 problems") as refusal:
        check_answers(written(tmp_path, rows().drop(columns=["time", "lon"])))
    assert "'time'" in str(refusal.value) and "'lon'" in str(refusal.value)


def test_columns_of_identity_are_pointed_out_and_not_read(tmp_path):
    report = check_answers(written(tmp_path, rows(email="a@b.c", favourite="blue")))
    assert report.columns["email"] == "looks like identity and is not read"
    assert report.ignored == ["email", "favourite"]


def test_geojson_and_spreadsheets_come_in_like_csv(tmp_path, city):
    import geopandas

    table = rows()
    table.to_excel(tmp_path / "sheet.xlsx", index=False)
    points = geopandas.points_from_xy(table["lon"], table["lat"], crs="EPSG:4326")
    frame = geopandas.GeoDataFrame(table.drop(columns=["lon", "lat"]), geometry=points)
    frame.to_file(tmp_path / "points.geojson", driver="GeoJSON")
    import_answers(city, written(tmp_path, table), simulated=True, campaign="one")
    for name, campaign in (("sheet.xlsx", "two"), ("points.geojson", "three")):
        assert import_answers(city, tmp_path / name, simulated=True, campaign=campaign).accepted == 12
    kept = answers(city).drop(columns=["response_id", "campaign", "pseudonym", "geometry"])
    by_campaign = [kept[answers(city)["campaign"] == name].reset_index(drop=True) for name in ("one", "two", "three")]
    for other in by_campaign[1:]:
        pd.testing.assert_frame_equal(by_campaign[0], other)


def test_a_city_not_declared_simulated_refuses_simulated_answers(tmp_path):
    real = make_city(tmp_path / "real", simulated=False)
    file = written(tmp_path, rows())
    with pytest.raises(AnswerError, match="not declared simulated"):
        import_answers(real, file, simulated=True)
    report = import_answers(real, file)
    assert report.origin == "recorded" and set(answers(real)["origin"]) == {"recorded"}


def test_real_and_simulated_answers_do_not_share_a_campaign(tmp_path, city):
    file = written(tmp_path, rows())
    import_answers(city, file, simulated=True)
    with pytest.raises(AnswerError, match="holds simulated answers already"):
        import_answers(city, written(tmp_path, rows(14)))


def test_an_answer_from_the_future_is_refused_unless_simulated(tmp_path, city):
    file = written(tmp_path, rows(2, time="2097-11-20T21:00:00Z"), "future.csv")
    with pytest.raises(AnswerError, match="has not come yet"):
        import_answers(city, file)
    assert import_answers(city, file, simulated=True).accepted == 2


def test_a_campaign_can_be_removed_and_so_can_one_answer(tmp_path, city):
    import_answers(city, written(tmp_path, rows()), simulated=True)
    import_answers(city, written(tmp_path, rows(5), "spring.csv"), simulated=True)
    assert campaigns(city) == ["autumn", "spring"]
    receipt = answers(city).query("campaign == 'autumn'")["response_id"].iloc[0]
    assert remove_answers(city, campaign="autumn", receipt=receipt) == 1
    assert remove_answers(city, campaign="autumn") == 11
    assert set(answers(city)["campaign"]) == {"spring"}
    with pytest.raises(AnswerError, match="no campaign 'autumn'; expected one of spring"):
        remove_answers(city, campaign="autumn")
    with pytest.raises(AnswerError, match="no answer with the receipt"):
        remove_answers(city, campaign="spring", receipt="0" * 16)
    with pytest.raises(AnswerError, match="sixteen letters and digits"):
        remove_answers(city, campaign="spring", receipt="nothing")


@pytest.mark.parametrize("name", ["../evil", "Autumn 2026", "a--b", ""])
def test_a_campaign_id_is_a_plain_word(tmp_path, city, name):
    if name == "":
        with pytest.raises(AnswerError):
            import_answers(city, written(tmp_path, rows(), "___.csv"), simulated=True)
    else:
        with pytest.raises(AnswerError, match="lower-case"):
            import_answers(city, written(tmp_path, rows()), simulated=True, campaign=name)


def test_what_was_left_out_is_counted_without_quoting_it(tmp_path, city):
    table = rows().astype(object)
    table.loc[5, "lon"] = 2.3512345
    import_answers(city, written(tmp_path, table), simulated=True)
    left = json.loads((city.path / "store/answers/quarantine/autumn.json").read_text())
    assert left == {"rows": 1, "columns": {"lon": 1}}


def test_two_imports_at_once_do_not_mix(tmp_path, city, monkeypatch):
    import ingest.surveys
    from ingest.lock import shelf_lock

    monkeypatch.setattr(ingest.surveys, "LOCK_WAIT_S", 0.0)
    with shelf_lock(city.shelf("answers"), "another"), pytest.raises(ShelfLocked, match="another"):
        import_answers(city, written(tmp_path, rows()), simulated=True)


@pytest.mark.parametrize("content", ["", "a\n", "\x00\x01"])
def test_a_file_that_is_no_table_is_refused(tmp_path, content):
    path = tmp_path / "odd.csv"
    path.write_text(content)
    with pytest.raises(AnswerError):
        check_answers(path)


def test_unknown_formats_and_missing_files_are_refused(tmp_path):
    with pytest.raises(AnswerError, match="there is no file"):
        check_answers(tmp_path / "nothing.csv")
    odd = tmp_path / "answers.pdf"
    odd.write_text("x")
    with pytest.raises(AnswerError, match="is none of"):
        check_answers(odd)
