from __future__ import annotations

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from ingest.archive import answers
from ingest.area_shares import check_shares, holds_shares, import_shares, remove_shares, share_campaigns, shares
from ingest.surveys import campaigns
from noctule import app
from sensors.area_share import SHARE_COLUMNS
from sensors.errors import AnswerError
from tests.shared_data import shared_data
from tests.synthetic_city import make_city
from tests.unit.test_surveys import rows

ROWS = (
    ("here_at_night", 2019, "Carlton 3053", 120, 60.0, "suburb"),
    ("here_at_night", 2020, "CARLTON", 110, 55.5, "suburb"),
    ("here_at_night", 2020, "North Melbourne 3051 / West Melbourne 3003", 90, 58.0, "suburb"),
    ("here_at_night", 2021, "West Melbourne/North Melbourne", "", 61.0, "suburb"),
    ("here_at_night", 2020, "Female", 300, 50.0, "gender"),
    ("here_at_night", 2020, "Male", 280, 70.0, "gender"),
    ("here_at_night", 2020, "18-24 years", 100, 52.0, "age"),
    ("here_at_night", 2020, "65+ years", 90, 75.0, "age"),
    ("here_at_night", 2020, "City of Smalltown", 590, 60.0, "city"),
)
NAMES = ("question", "year", "group", "n", "pct_safe", "group_type")


def written(tmp_path, rows=ROWS, name="indicators.csv", **columns):
    path = tmp_path / name
    pd.DataFrame(rows, columns=NAMES).assign(**columns).to_csv(path, index=False)
    return path


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path / "town")


def changed(**values):
    row = dict(zip(NAMES, ROWS[0], strict=True)) | values
    return [tuple(row[name] for name in NAMES), *ROWS[1:]]


def test_a_table_of_shares_is_told_from_single_answers(tmp_path):
    assert holds_shares(written(tmp_path))
    answers_file = tmp_path / "answers.csv"
    rows(3).assign(year=2026, share=0.5, group="a").to_csv(answers_file, index=False)
    assert not holds_shares(answers_file)


def test_an_area_spelt_in_several_ways_is_one_and_that_is_told(tmp_path, city):
    report = import_shares(city, written(tmp_path))
    kept = shares(city)
    assert set(kept["code"][kept["partition"] == "area"]) == {"carlton", "north melbourne + west melbourne"}
    assert any("CARLTON" in sentence for sentence in report.spellings)


def test_the_same_postcode_with_more_words_is_the_same_area_in_another_file_too(tmp_path, city):
    import_shares(city, written(tmp_path, [("night", 2019, "Melbourne 3000", 50, 60, "suburb")]), campaign="a")
    later = written(tmp_path, [("night", 2020, "Melbourne CBD 3000", 50, 60, "suburb")], "later.csv")
    import_shares(city, later, campaign="b")
    assert len(set(shares(city)["code"])) == 1


def test_another_part_of_the_sky_is_another_area(tmp_path, city):
    two = [("night", 2019, f"{side} Melbourne", 50, 60, "suburb") for side in ("East", "West")]
    import_shares(city, written(tmp_path, two))
    assert len(set(shares(city)["code"])) == 2


def test_every_row_keeps_which_table_of_the_same_people_it_is_of(tmp_path, city):
    import_shares(city, written(tmp_path))
    kept = shares(city)
    assert list(kept.columns) == list(SHARE_COLUMNS)
    assert kept["partition"].value_counts().to_dict() == {"area": 4, "gender": 2, "age_band": 2, "all": 1}
    assert set(kept["code"][kept["partition"] == "gender"]) == {"woman", "man"}
    assert set(kept["code"][kept["partition"] == "age_band"]) == {"18-24", "65+"}


def test_the_tables_are_told_from_the_words_where_no_column_names_them(tmp_path, city):
    path = tmp_path / "plain.csv"
    pd.DataFrame(ROWS, columns=NAMES).drop(columns="group_type").to_csv(path, index=False)
    import_shares(city, path)
    assert shares(city)["partition"].value_counts().to_dict() == {"area": 4, "gender": 2, "age_band": 2, "all": 1}


def test_shares_stay_apart_from_single_answers(tmp_path, city):
    import_shares(city, written(tmp_path))
    assert answers(city).empty
    assert campaigns(city) == []
    assert share_campaigns(city) == ["indicators"]


def test_per_cent_and_parts_of_one_are_the_same(tmp_path, city):
    import_shares(city, written(tmp_path))
    parts = tmp_path / "parts.csv"
    table = pd.DataFrame(ROWS, columns=NAMES)
    table.assign(share=table["pct_safe"] / 100).drop(columns="pct_safe").to_csv(parts, index=False)
    assert import_shares(city, parts, campaign="indicators").known == len(ROWS)


def test_the_same_file_twice_changes_nothing_and_a_removed_campaign_is_gone(tmp_path, city):
    import_shares(city, written(tmp_path))
    before = shares(city)
    assert import_shares(city, written(tmp_path)).known == len(ROWS)
    pd.testing.assert_frame_equal(shares(city), before)
    assert remove_shares(city, campaign="indicators") == len(ROWS)
    assert shares(city).empty


def test_the_same_respondents_do_not_come_in_a_second_campaign(tmp_path, city):
    import_shares(city, written(tmp_path))
    with pytest.raises(AnswerError, match="count twice"):
        import_shares(city, written(tmp_path), campaign="again")


def test_a_corrected_share_is_not_mixed_with_the_old_one(tmp_path, city):
    import_shares(city, written(tmp_path))
    with pytest.raises(AnswerError, match="remove the campaign"):
        import_shares(city, written(tmp_path, changed(pct_safe=44.0)))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"pct_safe": 160.0}, "share '160.0' must be a number from 0 to 100"),
        ({"pct_safe": "many"}, "share 'many'"),
        ({"year": "last"}, "year 'last' must be one year"),
        ({"year": 2099}, "year 2099 has not come yet"),
        ({"n": -3}, "n '-3' must be a whole number"),
        ({"n": 1}, "n 1 is fewer than the 10 people"),
        ({"group": ""}, "group is empty"),
        ({"group_type": "shoe size"}, "group_type 'shoe size' is not known"),
        ({"group_type": "gender"}, "group 'Carlton 3053' cannot be read as a sex"),
        ({"question": "here"}, "does not say whether it is of the night or the day"),
        ({"year": 2020}, "stands in the file twice"),
    ],
)
def test_a_wrong_row_is_left_out_and_told_with_its_number(tmp_path, city, values, reason):
    report = check_shares(written(tmp_path, changed(**values)), city=city)
    assert report.wrong_rows == 1
    assert report.accepted == len(ROWS) - 1
    assert reason in report.problems[0]
    assert report.problems[0].startswith(("row 2:", "row 3:"))


def test_a_file_without_a_needed_column_is_refused_by_name(tmp_path):
    path = tmp_path / "less.csv"
    pd.DataFrame(ROWS, columns=NAMES).drop(columns="year").to_csv(path, index=False)
    with pytest.raises(AnswerError, match=r"column 'year' \(year\) is missing"):
        check_shares(path)


def test_who_somebody_is_is_never_read(tmp_path, city):
    report = import_shares(city, written(tmp_path, email="anna@example.org", note="x"))
    assert report.columns["email"] == "looks like identity and is not read"
    stored = b"".join(path.read_bytes() for path in city.shelf("answers").rglob("*") if path.is_file())
    assert b"anna" not in stored


def test_a_mapping_renames_columns_and_keeps_only_the_questions_it_names(tmp_path, city):
    table = pd.DataFrame(ROWS, columns=NAMES).rename(columns={"group": "who", "pct_safe": "value"})
    path = tmp_path / "council.csv"
    pd.concat([table, table.assign(question="likes parks")]).to_csv(path, index=False)
    mapping = tmp_path / "map.toml"
    mapping.write_text('[columns]\ngroup = "who"\nshare = "value"\n[codes.question]\n"here_at_night" = "night"\n')
    report = import_shares(city, path, mapping=mapping)
    assert report.accepted == len(ROWS)
    assert set(shares(city)["question"]) == {"night"}


def test_a_table_with_the_column_names_of_a_council_is_read_as_it_is(tmp_path, city):
    path = tmp_path / "council.csv"
    path.write_text(
        "indicator,description,response,respondent_group,year,sample_size,result,format\n"
        '7,Feel safe by yourself at night,Very safe or safe,City of Smalltown,2018,"1,227",64,Per cent\n'
        "7,Feel safe by yourself at night,Very safe or safe,Carlton 3053,2018,125,57.6,Per cent\n"
    )
    import_shares(city, path)
    kept = shares(city)
    assert kept["n"].tolist() == [1227, 125]
    assert kept["share"].tolist() == pytest.approx([0.64, 0.576])
    assert set(kept["light_state"]) == {"dark"}


def test_a_real_city_takes_no_simulated_shares(tmp_path):
    real = make_city(tmp_path / "real", simulated=False)
    with pytest.raises(AnswerError, match="not declared simulated"):
        import_shares(real, written(tmp_path), simulated=True)


def test_all_rows_of_melbourne_come_in_and_each_table_keeps_its_own(city):
    report = import_shares(city, shared_data("melbourne/survey/perceived_safety_2018_2023.csv"), campaign="csis")
    assert (report.accepted, report.wrong_rows, report.without_n) == (225, 0, 45)
    kept = shares(city)
    assert kept["code"][kept["partition"] == "area"].nunique() == 6


def test_the_commands_recognise_import_tell_and_remove(tmp_path, city):
    run = CliRunner().invoke
    file = str(written(tmp_path))
    said = run(app, ["survey", "check", file, "--json"])
    assert said.exit_code == 0
    assert json.loads(said.stdout)["kind"] == "shares"
    assert run(app, ["survey", "check", str(written(tmp_path, changed(n=1), "bad.csv"))]).exit_code == 1
    taken = run(app, ["survey", "import", str(city.path), file, "--design-effect", "1.5"])
    assert "9 published shares" in taken.stdout
    assert set(shares(city)["design_effect"]) == {1.5}
    areas = run(app, ["small-areas", str(city.path), "--json"])
    assert {one["area"] for one in json.loads(areas.stdout)["questions"][0]["areas"]} == set(
        shares(city)["code"][shares(city)["partition"] == "area"]
    )
    assert run(app, ["survey", "remove", str(city.path), "--campaign", "indicators"]).exit_code == 0
    assert share_campaigns(city) == []
