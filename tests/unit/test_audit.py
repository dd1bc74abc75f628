"""An audit flags what is wrong, says what may be chance, and never tells of a few people in numbers."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr
from typer.testing import CliRunner

import noctule
from analytics import scores
from analytics.audit import Audit, audited, population_shares, sample_shares
from analytics.audit_report import audit_html, audit_text
from analytics.held_out import HeldOut
from analytics.phrases import LANGUAGES, phrases
from sensors.errors import ExportError, ModelError
from tests.unit.test_validation import with_answers

CUTS = np.array([-1.2, -0.3, 0.9])
SAMPLE = {"answers": 0, "people": 0, "oldest": "", "newest": ""}


def predicted(n: int = 2000, seed: int = 0, wrong_for_women: float = 0.0) -> HeldOut:
    """Answers with a known truth, and the truth as their prediction, moved for women where asked."""
    generator = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "gender": generator.choice(["woman", "man"], n),
            "age_band": generator.choice(["16-24", "25-44", "45-64", "65+"], n, p=[0.25, 0.45, 0.25, 0.05]),
            "role": generator.choice(["resident", "visitor"], n, p=[0.7, 0.3]),
            "pseudonym": [f"p{i // 2}" for i in range(n)],
            "weight": 1.0,
            "origin": "simulated",
            "time": np.datetime64("2026-10-02T19:00", "ms"),
        }
    )
    woman = (table["gender"] == "woman").to_numpy()
    eta = generator.normal(0, 0.5, n) - 0.5 * woman
    category = 1 + np.searchsorted(CUTS, eta + generator.normal(size=n))
    said = eta + wrong_for_women * woman
    return HeldOut(
        name="as the map's cells",
        distance_m=20.0,
        table=table,
        category=category.astype(np.int64),
        below={"map": ndtr(CUTS[None, :] - said[:, None])},
        sd=np.full(n, 0.02),
        square=generator.integers(0, 30, n),
        person=np.arange(n) // 2,
    )


def row(audit: Audit, **classes: str):
    wanted = {column: (code,) for column, code in classes.items()}
    return next(one for one in audit.rows if one.classes == wanted)


def test_an_honest_map_is_hardly_flagged_and_never_clearly():
    audit = audited(predicted(), {}, "Town", sample=SAMPLE)
    whole = audit.rows[0]
    assert whole.classes == {} and whole.people == 1000 and whole.answers == 2000
    assert whole.rps_ratio.value == 1 and abs(whole.calibration.value) < 0.03
    assert not row(audit, gender="woman").flags and not row(audit, gender="man").flags
    assert audit.clear <= 1


def test_a_map_that_errs_for_women_is_flagged_for_women_alone():
    audit = audited(predicted(wrong_for_women=0.8), {}, "Town", sample=SAMPLE)
    women, men = row(audit, gender="woman"), row(audit, gender="man")
    assert {flag.what for flag in women.flags if flag.clear} >= {"calibration", "coverage"}
    assert women.calibration.value > 0.15 and women.calibration.low > 0.05
    assert women.rps_ratio.value > 1 > men.rps_ratio.value
    assert not men.flags
    assert audit.flagged >= audit.clear > 0


def test_scores_of_groups_add_up_to_those_of_everybody():
    part = predicted(500)
    audit = audited(part, {}, "Town", sample=SAMPLE)
    groups = [row(audit, gender=code) for code in ("woman", "man")]
    rps = scores.ranked_probability(part.below["map"], part.category)
    assert sum(one.rps * one.answers for one in groups) == pytest.approx(rps.sum())


def test_shares_are_laid_beside_the_population():
    part = predicted()
    shares = population_shares({"woman": 0.5, "65+": 0.2, "role.worker": 0.1, "another": 0.02})
    audit = audited(part, shares, "Town", sample=SAMPLE)
    told = {(one.column, one.code): one for one in audit.shares}
    assert not told["gender", "woman"].flags
    assert [(flag.what, flag.clear) for flag in told["age_band", "65+"].flags] == [("share", True)]
    assert told["role", "worker"].nobody and told["role", "worker"].flags[0].clear
    assert told["gender", "another"].nobody
    assert {"role": "worker"} in audit.missing


def test_of_a_code_that_few_people_have_not_even_the_share_is_told():
    part = predicted(200)
    part.table.loc[:5, "gender"] = "another"
    shares = sample_shares(part.table, {("gender", "another"): 0.3})
    told = {one.code: one for one in shares if one.column == "gender"}
    assert math.isnan(told["another"].sample.value) and not told["another"].nobody
    # The others add up to one, so that no difference tells of the few.
    assert told["woman"].sample.value + told["man"].sample.value == pytest.approx(1, abs=0.011)
    assert told["another"].flags and told["another"].flags[0].what == "share"


@pytest.mark.parametrize(("key", "wrong"), [("undisclosed", "no group"), ("women", "no group"), ("gender.x", "gender")])
def test_a_share_of_no_group_is_refused_by_name(key, wrong):
    with pytest.raises(ModelError, match=wrong):
        population_shares({key: 0.5})


def test_nine_people_are_not_audited():
    part = predicted(2000)
    part.table["pseudonym"] = [f"p{i % 9}" for i in range(2000)]
    with pytest.raises(ModelError, match="9 people"):
        audited(part, {}, "Town", sample=SAMPLE)


def test_no_row_is_of_fewer_than_ten_people():
    for seed in range(5):
        audit = audited(predicted(150, seed), {}, "Town", sample=SAMPLE)
        assert min(one.people for one in audit.rows) >= 10
        assert audit.unsaid


@pytest.mark.parametrize("language", LANGUAGES)
def test_reports_say_the_same_in_both_languages_and_to_machines(language):
    audit = audited(predicted(150, wrong_for_women=0.8), {("role", "worker"): 0.1}, "Town & Co", sample=SAMPLE)
    say = phrases(language)
    content = json.loads(json.dumps(audit.to_dict(), allow_nan=False))
    assert content["flagged"] == audit.flagged and content["clear"] == audit.clear
    page, text = audit_html(audit, say), audit_text(audit, say)
    for told in (page, text):
        assert say("word.simulated") in told
        assert say("role.worker") in told
    assert page.startswith("<!doctype html>") and "Town &amp; Co" in page
    assert "<script" not in page and "http" not in page
    assert page.count("<tr class=level") == len(audit.rows)


def test_an_interval_of_a_mean_holds_it_as_often_as_it_says():
    held = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        person = np.repeat(np.arange(40), 3)
        values = generator.normal(size=40)[person] + generator.normal(size=120)
        low, high = scores.mean_interval(values, person, seed=seed)
        held += low <= 0 <= high
    assert 0.83 <= held / 200 <= 0.95


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    folder = tmp_path_factory.mktemp("town")
    with_answers(folder, 150)
    return folder


def command(*arguments: object):
    return CliRunner().invoke(noctule.app, [str(one) for one in arguments])


def test_the_command_finds_flags_without_failing_and_fails_where_asked(town, tmp_path):
    done = command("audit", town, "--json", "--html", tmp_path / "audit.html")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["flagged"] > 0 and found["left_out"] == "as the map's cells"
    assert "<table>" in (tmp_path / "audit.html").read_text("utf-8")
    asked = command("audit", town, "--json", "--fail-on-flag", "--leave-out", "people")
    assert isinstance(asked.exception, ModelError) and "flagged" in str(asked.exception)
    assert json.loads(asked.stdout)["left_out"] == "respondents"


def test_an_audit_is_kept_with_the_model_of_the_same_answers(town):
    assert "Not kept with the model" in command("audit", town).stdout
    assert command("fit", town, "--night", "2026-10-10").exit_code == 0
    told = command("audit", town, "--language", "fr").stdout
    assert "Kept with the model" in told and "dit moins trouvé" in told
    (kept,) = (town / "store" / "model").glob("*/audit.json")
    content = json.loads(kept.read_text("utf-8"))
    assert content["format"] == 1 and content["made"] and content["rows"]
    written = command("papers", town, "--language", "fr")
    assert written.exit_code == 0
    card = (town / "papers" / "model-card.fr.md").read_text("utf-8")
    assert "valeurs signalées" in card and "`noctule audit` en écrit un" not in card
    kept.write_text("{", "utf-8")
    broken = command("papers", town, "--language", "fr")
    assert isinstance(broken.exception, ModelError) and "noctule audit" in str(broken.exception)


def test_an_unknown_language_is_refused_before_anything_is_computed(town):
    done = command("audit", town, "--language", "de")
    assert isinstance(done.exception, ExportError)
