from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from ingest.answers_desk import answers_desk
from ingest.archive import answers
from ingest.brigading import suspects
from ingest.campaigns import switch_campaign
from ingest.quarantine import decide_case, read_decisions, read_quarantine
from ingest.surveys import check_answers, import_answers, remove_answers
from sensors.errors import AnswerError
from sensors.receipt import receipt_of
from tests.synthetic_city import SOUTH, WEST, make_city
from tests.unit.test_surveys import TO_LONLAT, rows, written

USUAL = 300  # answers of a quiet autumn: one or two in a place and hour


@pytest.fixture
def city(tmp_path):
    return make_city(tmp_path / "town")


def usual(seed=1):
    table = rows(USUAL, seed)
    hours = [18 + 2 * (i % 3) for i in range(USUAL)]
    table["time"] = [f"2026-10-{1 + i // 12:02d}T{hour}:10:00Z" for i, hour in enumerate(hours)]
    table["pseudonym"] = [f"u{i}" for i in range(USUAL)]
    table["gender"] = [("woman", "man", "undisclosed")[i % 3] for i in range(USUAL)]
    return table.assign(trigger="spontaneous")


def burst(n, seed=2, category=None, **columns):
    """`n` people at one corner within one hour, of all sorts and opinions."""
    table = rows(n, seed, trigger="spontaneous")
    table["response_id"] = [f"b{i}" for i in range(n)]
    table["lon"], table["lat"] = table["lon"].iloc[0], table["lat"].iloc[0]
    table["time"] = [f"2026-10-29T20:{3 * i % 60:02d}:00Z" for i in range(n)]
    table["category"] = [1 + i % 4 for i in range(n)] if category is None else category
    table["pseudonym"] = [f"x{i}" for i in range(n)]
    return table.assign(**columns)


def bring(city, tmp_path, table, name):
    return import_answers(city, written(tmp_path, table, f"{name}.csv"), simulated=True)


def test_a_usual_autumn_is_let_in_whole(tmp_path, city):
    assert bring(city, tmp_path, usual(), "autumn").held == 0
    assert len(answers(city)) == USUAL


def test_a_burst_in_one_place_and_hour_stays_out_of_the_answers(tmp_path, city):
    bring(city, tmp_path, usual(), "autumn")
    report = bring(city, tmp_path, burst(30), "flood")
    assert report.held == 30
    assert len(answers(city)) == USUAL
    (case,) = answers_desk(city).cases
    assert (case.rule, case.answers, case.state) == ("burst", 30, "waiting")
    assert case.probability < 1e-5


def test_a_circle_of_friends_is_no_brigade(tmp_path, city):
    bring(city, tmp_path, usual(), "autumn")
    assert bring(city, tmp_path, burst(7), "friends").held == 0


def corner(east_m, north_m):
    lon, lat = TO_LONLAT.transform(WEST + east_m, SOUTH + north_m)
    return {"lon": lon, "lat": lat}


def test_a_square_where_many_answer_every_night_may_have_many(tmp_path, city):
    bring(city, tmp_path, usual(), "autumn")
    nights = []
    for night in range(1, 25):
        table = burst(7, **corner(60.0, 80.0))
        words = [f"n{night}p{i}" for i in range(7)]
        times = [f"2026-10-{night:02d}T20:{5 * i:02d}:00Z" for i in range(7)]
        nights.append(table.assign(response_id=words, pseudonym=words, time=times))
    assert bring(city, tmp_path, pd.concat(nights), "square").held == 0
    assert bring(city, tmp_path, burst(24, **corner(60.0, 80.0)), "friday").held == 0
    assert bring(city, tmp_path, burst(24, **corner(260.0, 280.0)), "elsewhere").held == 24


def test_people_who_were_asked_at_one_place_are_no_brigade(tmp_path, city):
    bring(city, tmp_path, usual(), "autumn")
    assert bring(city, tmp_path, burst(30, trigger="intercept"), "stand").held == 0


def test_answers_that_agree_in_everything_stand_aside_sooner(tmp_path, city):
    bring(city, tmp_path, usual(), "autumn")
    script = {"gender": "another", "age_band": "65+", "role": "visitor", "familiarity": "seldom"}
    assert bring(city, tmp_path, burst(7, category=1, **script), "script").held == 7
    (case,) = answers_desk(city).cases
    assert (case.rule, case.answers) == ("alike", None)  # seven people are fewer than ten
    people = burst(7, seed=5, category=1)
    people["gender"] = ["woman", "man", "undisclosed", "woman", "man", "woman", "man"]
    people["time"] = people["time"].str.replace("10-29", "10-28")
    assert bring(city, tmp_path, people, "neighbours").held == 0


def test_one_pseudonym_that_answers_all_night_stands_aside(tmp_path, city):
    table = rows(61, 3, pseudonym="restless")
    table["time"] = [f"2026-10-20T{17 + i // 12}:{5 * i % 60:02d}:00Z" for i in range(61)]
    assert bring(city, tmp_path, table, "restless").held == 61
    table["response_id"] = [f"calm{i}" for i in range(61)]
    assert bring(city, tmp_path, table.iloc[:60], "calm").held == 0  # one every ten minutes of a night


def test_the_rules_know_nobody(tmp_path, city):
    """Whoever answers: other words for the same people change no verdict."""
    bring(city, tmp_path, usual(), "autumn")
    table, history = burst(30), answers(city)
    kept = history.iloc[:30].assign(trigger="spontaneous", time=np.datetime64("2026-10-29T20:00", "ms"))
    kept[["easting", "northing"]] = kept[["easting", "northing"]].iloc[0].to_numpy()
    renamed = kept.assign(pseudonym=[f"{i:016x}" for i in range(30)])
    verdict = [(one.rule, one.count) for one in suspects(kept, history, city.zone)]
    assert verdict == [(one.rule, one.count) for one in suspects(renamed, history, city.zone)]
    assert verdict and len(table) == 30


def test_a_case_that_is_let_in_is_answered_again_and_can_be_taken_back(tmp_path, city):
    bring(city, tmp_path, usual(), "autumn")
    bring(city, tmp_path, burst(30), "flood")
    case = answers_desk(city).cases[0].case
    assert decide_case(city, case, "in", "planner", "2026-10-30T09:00:00Z") == ("flood", 30)
    assert len(answers(city)) == USUAL + 30
    decide_case(city, case, "in", "planner", "2026-10-30T09:00:01Z")
    assert len(answers(city)) == USUAL + 30
    decide_case(city, case, "out", "researcher", "2026-10-30T09:01:00Z")
    assert len(answers(city)) == USUAL
    trail = [(line["role"], line["state"]) for line in read_decisions(city)]
    assert trail == [("researcher", "out"), ("planner", "in")]


def test_what_is_decided_holds_for_what_still_comes(tmp_path, city):
    bring(city, tmp_path, usual(), "autumn")
    bring(city, tmp_path, burst(30), "flood")
    decide_case(city, answers_desk(city).cases[0].case, "out", "planner", "2026-10-30T09:00:00Z")
    more = burst(36)
    assert bring(city, tmp_path, more, "flood").held == 6
    (case,) = answers_desk(city).cases
    assert (case.answers, case.state) == (36, "out")
    assert len(answers(city)) == USUAL


def test_a_check_foretells_what_an_import_would_set_aside_and_keeps_nothing(tmp_path, city):
    bring(city, tmp_path, usual(), "autumn")
    file = written(tmp_path, burst(30), "flood.csv")
    assert check_answers(file, city=city).held == 30 and check_answers(file).held == 0
    assert len(answers(city)) == USUAL and read_quarantine(city, "flood").empty
    assert import_answers(city, file, simulated=True).held == 30


def test_importing_the_file_of_a_case_again_changes_nothing(tmp_path, city):
    bring(city, tmp_path, usual(), "autumn")
    bring(city, tmp_path, burst(30), "flood")
    again = bring(city, tmp_path, burst(30), "flood")
    assert (again.known, again.held) == (30, 0)
    assert len(read_quarantine(city, "flood")) == 30


def test_what_a_crash_left_half_done_is_done_by_the_next_call(tmp_path, city, monkeypatch):
    import ingest.quarantine

    bring(city, tmp_path, usual(), "autumn")
    bring(city, tmp_path, burst(30), "flood")
    case = answers_desk(city).cases[0].case
    kept = ingest.quarantine.write_campaign
    monkeypatch.setattr(ingest.quarantine, "write_campaign", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        decide_case(city, case, "in", "planner", "2026-10-30T09:00:00Z")
    monkeypatch.setattr(ingest.quarantine, "write_campaign", kept)
    decide_case(city, case, "in", "planner", "2026-10-30T09:00:00Z")
    assert len(answers(city)) == USUAL + 30


def test_an_unknown_case_or_decision_is_refused(city):
    with pytest.raises(AnswerError, match="no case"):
        decide_case(city, "0" * 10, "in", "planner", "2026-10-30T09:00:00Z")
    with pytest.raises(AnswerError, match="waiting, in, out"):
        decide_case(city, "0" * 10, "perhaps", "planner", "2026-10-30T09:00:00Z")


def test_a_receipt_erases_an_answer_in_quarantine_as_well(tmp_path, city):
    bring(city, tmp_path, usual(), "autumn")
    bring(city, tmp_path, burst(30), "flood")
    code = receipt_of(read_quarantine(city, "flood")["response_id"].iloc[0])
    assert remove_answers(city, receipt=code) == 1
    assert len(read_quarantine(city, "flood")) == 29


def test_an_erased_answer_does_not_come_back_with_its_file(tmp_path, city):
    out = tmp_path / "receipts.csv"
    file = written(tmp_path, rows())
    import_answers(city, file, simulated=True, receipts=out)
    handed = pd.read_csv(out)
    assert list(handed["response_id"]) == [f"r{i}" for i in range(12)]
    assert out.stat().st_mode & 0o077 == 0
    assert remove_answers(city, receipt=handed["receipt"][4].lower()) == 1
    import_answers(city, file, simulated=True)
    assert len(answers(city)) == 11
    with pytest.raises(AnswerError, match="keeps no answer"):
        remove_answers(city, receipt=handed["receipt"][4])


def test_a_campaign_that_is_off_is_in_no_answers_and_comes_back_whole(tmp_path, city):
    bring(city, tmp_path, rows(), "autumn")
    before = answers(city)
    assert switch_campaign(city, "autumn", on=False)
    assert answers(city).empty and not switch_campaign(city, "autumn", on=False)
    more = rows(14)
    bring(city, tmp_path, more, "autumn")  # joins it where it is
    assert answers(city).empty
    assert switch_campaign(city, "autumn", on=True)
    assert len(answers(city)) == 14 and set(before["response_id"]) < set(answers(city)["response_id"])


def test_fewer_than_ten_people_are_not_counted(tmp_path, city):
    bring(city, tmp_path, rows(12), "few")  # of six people
    bring(city, tmp_path, rows(20, seed=9), "enough")
    told = {row.campaign: (row.answers, row.people, row.oldest) for row in answers_desk(city).campaigns}
    assert told["few"] == (None, None, "")
    assert told["enough"][:2] == (20, 10)
    assert "fewer than 10" in answers_desk(city).text()
    json.dumps(answers_desk(city).to_dict(), allow_nan=False)


def test_what_is_erased_held_or_off_is_in_no_fit(tmp_path, city):
    from analytics.model import fit
    from sensors.night import Night

    night = Night.named("2026-11-01", city.zone)
    bring(city, tmp_path, usual().iloc[:120], "autumn")
    bring(city, tmp_path, rows(40, 7), "panel")
    whole = fit(city, night)
    assert whole.perception.n_answers == 160
    bring(city, tmp_path, burst(30), "flood")
    assert fit(city, night).digest == whole.digest  # what is held has no part in the map
    receipt = receipt_of(answers(city)["response_id"].iloc[0])
    remove_answers(city, receipt=receipt)
    without = fit(city, night)
    assert without.perception.n_answers == 159 and without.digest != whole.digest
    switch_campaign(city, "panel", on=False)
    assert fit(city, night).perception.campaigns == ("autumn",)
    switch_campaign(city, "panel", on=True)
    assert fit(city, night).digest == without.digest
