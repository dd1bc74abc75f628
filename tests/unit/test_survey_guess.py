"""Exports say what their columns are; what they do not say is asked and never guessed into a map."""

from __future__ import annotations

import json
import tomllib

import pandas as pd
import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from typer.testing import CliRunner

from ingest.archive import answers
from ingest.commands import register
from ingest.survey_guess import guess_columns, has_our_columns
from ingest.surveys import check_answers, import_answers
from sensors.errors import AnswerError
from tests.synthetic_city import CRS, SOUTH, WEST, make_city

TO_LONLAT = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
app = typer.Typer()
register(app)


def points(n):
    return [TO_LONLAT.transform(WEST + 60 + 20 * i, SOUTH + 160) for i in range(n)]


def kobo(**changes):
    """A made-up KoboToolbox export of three people: two questions by day and dark, groups, a point, a remark."""
    places = points(3)
    table = {
        "start": [f"2026-11-{10 + i}T21:08:00.000+02:00" for i in range(3)],
        "end": [f"2026-11-{10 + i}T21:12:00.000+02:00" for i in range(3)],
        "today": [f"2026-11-{10 + i}" for i in range(3)],
        "username": ["anna"] * 3,
        "deviceid": ["ee.humanitarian:xyz"] * 3,
        "walk/safe_here_dark": ["fairly_safe", "a_bit_unsafe", "very_unsafe"],
        "walk/safe_here_day": ["very_safe", "very_safe", ""],
        "you/gender": ["Femme", "Homme", "prefer_not_to_say"],
        "you/age": ["25_34", "65_plus", "17"],
        "you/alone": ["yes", "no", "no"],
        "told": ["no, nobody", "yes", "yes"],
        "who": ["city police", "police", ""],
        "who/city": [1, 0, ""],
        "who/police": [1, 1, ""],
        "remarks": ["the man from number 12 stands here every evening", "it is dark under the bridge, always", ""],
        "_place_latitude": [lat for _, lat in places],
        "_place_longitude": [lon for lon, _ in places],
        "_place_precision": [4.5, 5, 6],
        "_id": [1, 2, 3],
        "_uuid": ["u-1", "u-2", "u-3"],
        "_submission_time": [f"2026-11-{10 + i}T19:12:30" for i in range(3)],
        "_submitted_by": ["anna"] * 3,
        "_index": [1, 2, 3],
    }
    return pd.DataFrame(table | changes)


def lime(**changes):
    """A made-up LimeSurvey export of two people in French, with full answers."""
    places = points(2)
    table = {
        "id": [1, 2],
        "submitdate": ["2026-11-10 21:08:00", "2026-11-10 22:08:00"],
        "lastpage": [3, 3],
        "startlanguage": ["fr", "fr"],
        "seed": [123, 124],
        "token": ["abc", "abd"],
        "ipaddr": ["192.0.2.1", "192.0.2.2"],
        "Q1": ["pas du tout en sécurité", "plutôt en sécurité"],
        "Q2[SQ001]": ["Y", ""],
        "G1Q2": ["Une femme", "Un homme"],
        "G1Q3": ["16-24 ans", "45-54 ans"],
        "map": [f"{lat};{lon}" for lon, lat in places],
    }
    return pd.DataFrame(table | changes)


def written(tmp_path, table, name="export.csv", separator=";"):
    file = tmp_path / name
    if name.endswith(".xlsx"):
        table.to_excel(file, index=False)
    else:
        table.to_csv(file, index=False, sep=separator)
    return file


def kinds(guess):
    return {one.column: one.kind for one in guess.columns}


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path / "town")


@pytest.mark.parametrize("name", ["export.csv", "export.xlsx"])
def test_an_export_of_kobo_is_known_and_its_draft_brings_every_answer_in(tmp_path, city, name):
    file = written(tmp_path, kobo(), name)
    guess = guess_columns(file)
    assert guess.system == "kobo" and guess.questions == []
    draft = tmp_path / "draft.toml"
    draft.write_text(guess.toml())
    report = import_answers(city, file, mapping=draft, simulated=True, campaign="walk")
    kept = answers(city)
    # Both questions in one sitting at nine in the evening: what it is like by day was remembered and not felt.
    assert (report.rows, report.accepted, len(kept), report.wrong_rows) == (3, 6, 6, 2)
    assert all("the answer says by day" in problem for problem in report.problems)
    dark = kept[(kept["instrument"] == "core-4") & (kept["light_state"] == "dark")]
    assert sorted(dark["category"]) == [1, 2, 3]
    assert set(kept["gender"]) == {"woman", "man", "undisclosed"} and set(kept["alone"]) == {"alone", "accompanied"}
    assert set(kept["age_band"]) == {"16-24", "25-44", "65+"}


def test_who_somebody_is_and_free_text_are_named_and_in_nothing_that_is_told(tmp_path):
    guess = guess_columns(written(tmp_path, kobo()))
    said = kinds(guess)
    assert said["username"] == said["deviceid"] == said["_submitted_by"] == "identity"
    assert said["remarks"] == "free text"
    for word in ("anna", "humanitarian", "number 12", "bridge"):
        assert word not in guess.text() + guess.toml() + json.dumps(guess.to_dict())


def test_boxes_of_a_choice_of_several_are_not_taken_for_answers(tmp_path):
    said = kinds(guess_columns(written(tmp_path, kobo())))
    assert said["who/city"] == said["who/police"] == "unknown" and said["you/alone"] == "alone"


def test_an_export_of_limesurvey_is_known_and_asks_for_its_time_zone(tmp_path, city):
    file = written(tmp_path, lime(), separator=",")
    guess = guess_columns(file)
    assert guess.system == "limesurvey" and len(guess.questions) == 1 and "has no zone" in guess.questions[0]
    assert kinds(guess)["token"] == kinds(guess)["ipaddr"] == "identity"
    draft = tmp_path / "draft.toml"
    draft.write_text(guess.toml().replace('zone = ""', 'zone = "Europe/Helsinki"'))
    report = import_answers(city, file, mapping=draft, simulated=True, campaign="lime")
    assert (report.accepted, report.wrong_rows) == (2, 0)
    assert sorted(answers(city)["category"]) == [1, 3]
    assert str(answers(city)["time"].min()) == "2026-11-10 19:00:00"


def test_words_settle_a_reversed_scale_and_plain_codes_are_asked_about(tmp_path, city):
    words = ["very safe", "very unsafe", "fairly safe"]
    turned = kobo(**{"walk/safe_here_dark": words, "walk/safe_here_day": ["", "", ""], "told": ["", "", ""]})
    draft = tmp_path / "a.toml"
    draft.write_text(guess_columns(written(tmp_path, turned)).toml())
    import_answers(city, tmp_path / "export.csv", mapping=draft, simulated=True, campaign="words")
    assert sorted(answers(city)["category"]) == [1, 3, 4]
    for codes in (["1", "2", "4"], ["A1", "A2", "A4"]):
        coded = kobo(**{"walk/safe_here_dark": codes, "walk/safe_here_day": ["", "", ""], "told": ["", "", ""]})
        file = written(tmp_path, coded)
        guess = guess_columns(file)
        assert any("which end is safe" in question for question in guess.questions)
        draft.write_text(guess.toml())
        assert '= "?"' in guess.toml()
        with pytest.raises(AnswerError, match="no answer that can be taken"):
            import_answers(city, file, mapping=draft, simulated=True, campaign="codes")


def test_full_headings_are_known_and_a_question_in_codes_alone_is_pointed_out(tmp_path):
    full = lime(Q9=["A1", "A3"]).rename(
        columns={
            "id": "Response ID",
            "submitdate": "Date submitted",
            "startlanguage": "Start language",
            "lastpage": "Last page",
            "ipaddr": "IP address",
            "Q1": "Dans quelle mesure vous sentez-vous en sécurité ici, la nuit ?",
        }
    )
    guess = guess_columns(written(tmp_path, full, separator=","))
    said = {one.column: one for one in guess.columns}
    assert guess.system == "limesurvey" and said["IP address"].kind == "identity"
    assert guess.content["columns"]["response_id"] == "Response ID"
    assert guess.content["columns"]["time"] == "Date submitted"
    assert said["Dans quelle mesure vous sentez-vous en sécurité ici, la nuit ?"].kind == "item"
    assert "answer codes ('A1', 'A3')" in said["Q9"].words


def test_a_scale_of_another_size_is_told_and_never_squeezed(tmp_path):
    five = kobo(**{"walk/safe_here_dark": [1, 3, 5], "walk/safe_here_day": ["", "", ""], "told": ["", "", ""]})
    guess = guess_columns(written(tmp_path, five))
    assert any("goes up to 5" in question for question in guess.questions)
    assert "items" not in guess.content


def test_the_area_of_a_victim_survey_is_told_from_the_place_by_its_question(tmp_path):
    asked = kobo(**{"walk/safe_here_day": ["", "", ""]}).rename(
        columns={"walk/safe_here_dark": "How safe do you feel walking alone in this area after dark?"}
    )
    (item, *_) = guess_columns(written(tmp_path, asked)).content["items"]
    assert item["instrument"] == "area-4"


def test_never_going_out_is_read_as_its_own_code(tmp_path, city):
    asked = kobo(
        **{
            "area": ["very safe", "I never go out alone at night", "very unsafe"],
            "walk/safe_here_dark": ["", "", ""],
            "walk/safe_here_day": ["", "", ""],
            "told": ["", "", ""],
        }
    )
    draft = tmp_path / "draft.toml"
    file = written(tmp_path, asked)
    draft.write_text(guess_columns(file).toml())
    import_answers(city, file, mapping=draft, simulated=True, campaign="area")
    kept = answers(city)
    assert set(kept["instrument"]) == {"area-4"} and sorted(kept["category"]) == [0, 1, 4]


def test_a_day_without_its_hour_and_hidden_times_are_said(tmp_path):
    days = kobo(start="2026-11-10", end="2026-11-10", _submission_time="2026-11-10")
    assert any("holds days only" in question for question in guess_columns(written(tmp_path, days)).questions)
    hidden = lime(submitdate="1980-01-01 00:00:00")
    assert any("hides its times" in question for question in guess_columns(written(tmp_path, hidden)).questions)


def test_a_running_number_under_another_name_names_the_responses(tmp_path):
    table = lime().drop(columns="id").assign(**{"Response number": [7, 8], "House no": [3, 3]})
    assert guess_columns(written(tmp_path, table)).content["columns"]["response_id"] == "Response number"


def test_pairs_by_day_and_dark_are_counted_by_person_and_place(tmp_path, city):
    lon, lat = points(1)[0]
    table = pd.DataFrame(
        {
            "response_id": [f"r{i}" for i in range(5)],
            "category": 3,
            "lon": lon,
            "lat": lat,
            "time": ["2026-11-10T10:00:00Z", "2026-11-10T19:00:00Z", "2026-11-10T19:00:00Z"]
            + ["2026-11-11T10:00:00Z"] * 2,
            "light_state": ["day", "dark", "dark", "day", "day"],
            "pseudonym": ["a", "a", "b", "c", "c"],
        }
    )
    report = check_answers(written(tmp_path, table, separator=","), city=city)
    assert report.pairs.startswith("1 pairs") and "1 by day and 1 after dark have no other half" in report.pairs
    bare = check_answers(written(tmp_path, table.drop(columns="pseudonym"), separator=","), city=city)
    assert "without a pseudonym" in bare.pairs


def test_the_command_explains_drafts_and_tries_and_our_own_columns_need_no_guess(tmp_path):
    file = written(tmp_path, kobo())
    draft = tmp_path / "draft.toml"
    first = CliRunner().invoke(app, ["survey", "check", str(file), "--draft", str(draft)])
    assert first.exit_code == 0 and "looks like a KoboToolbox export" in first.output and draft.is_file()
    assert CliRunner().invoke(app, ["survey", "check", str(file), "--draft", str(draft)]).exit_code == 2
    said = json.loads(CliRunner().invoke(app, ["survey", "check", str(file), "--json"]).output)
    assert said["system"] == "kobo" and {"zone": ""} | said["draft"] == tomllib.loads(draft.read_text())
    assert not has_our_columns(file)
    lon, lat = points(1)[0]
    ours = pd.DataFrame(
        {"response_id": ["a"], "category": [3], "lon": lon, "lat": lat, "time": ["2026-11-10T20:00:00Z"]}
    )
    assert has_our_columns(written(tmp_path, ours, "ours.csv", ","))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[[items]]\ncolumn = "a"\ninstrument = "foca"', "'foca' has no definition"),
        ('[[items]]\ncolumn = "zz"\ninstrument = "core-4"', "column 'zz'"),
        ('[columns]\ncategory = "a"\n[[items]]\ncolumn = "a"\ninstrument = "core-4"', "says category by them"),
        ('[[items]]\ncolumn = "a"\ninstrument = "core-4"\n' * 2, "one answer twice"),
        ('[[items]]\ncolumn = "a"\ninstrument = "core-4"\n[items.codes]\n"9" = "never"', "knows no such answer"),
        ('geopoint = "nowhere"', "column 'nowhere'"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused_in_a_sentence(tmp_path, text, why):
    file = written(
        tmp_path, pd.DataFrame({"response_id": ["1"], "a": ["very safe"], "time": ["x"], "lon": 1, "lat": 2})
    )
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(AnswerError, match=why):
        check_answers(file, mapping=tmp_path / "m.toml")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=6, unique=True), st.text(max_size=12))
def test_whatever_the_headers_and_cells_a_draft_can_be_read(tmp_path, names, cell):
    file = tmp_path / "any.csv"
    pd.DataFrame({name: [cell, "very safe", "a bit unsafe"] for name in names}).to_csv(file, index=False)
    try:
        guess = guess_columns(file)
    except AnswerError:
        return
    assert tomllib.loads(guess.toml())["zone"] == ""


def test_sheets_beside_the_first_are_named_since_nobody_reads_them(tmp_path):
    file = tmp_path / "export.xlsx"
    with pd.ExcelWriter(file) as book:
        kobo().to_excel(book, sheet_name="walk", index=False)
        kobo().to_excel(book, sheet_name="stops", index=False)
    assert any("only the first sheet is read; 'stops'" in question for question in guess_columns(file).questions)
