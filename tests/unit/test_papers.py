"""Papers of a city: everything in them comes from its files, edits stay, and nothing is said that we do not say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analytics import covariates
from analytics.held_out import SCHEMES
from analytics.knowledge import learn_from
from analytics.markdown_page import markdown_html, markdown_page
from analytics.model import fit
from analytics.papers import PAPERS, filled, merged, to_fill, write_papers
from analytics.phrases import LANGUAGES, paper_template, phrases
from analytics.surroundings import surroundings
from analytics.validation import validate
from sensors.answer import ANSWER_COLUMNS, CODES
from sensors.errors import ExportError
from sensors.night import Night
from tests.synthetic_city import make_city
from tests.unit.test_perception import world
from tests.unit.test_words import BANNED

FOLDER = Path(__file__).resolve().parents[2] / "analytics" / "texts"


def catalogue(language):
    return phrases(language).texts


def with_answers(folder, n, **changed):
    city = make_city(folder)
    table, _ = world(n)
    moments = np.datetime64("2026-10-02T19:00", "ms") + np.arange(4) * np.timedelta64(90, "m")
    table["time"] = moments[np.arange(n) % 4]
    for name, value in changed.items():
        table[name] = value
    (folder / "store" / "answers").mkdir(parents=True)
    table.astype(ANSWER_COLUMNS)[list(ANSWER_COLUMNS)].to_parquet(folder / "store" / "answers" / "made.parquet")
    return city


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    city = with_answers(tmp_path_factory.mktemp("papers"), 200)
    return city, fit(city, Night.named("2026-10-10", city.zone))


def test_both_languages_hold_the_same_keys_and_put_the_same_values_in():
    english, french = catalogue("en"), catalogue("fr")
    assert english.keys() == french.keys()
    for key, text in english.items():
        assert text.strip() and french[key].strip()
        assert sorted(re.findall(r"{(\w+)}", text)) == sorted(re.findall(r"{(\w+)}", french[key])), key


def test_every_code_and_every_term_has_its_words():
    english = catalogue("en")
    assert {term.name: term.words for term in covariates.TERMS} == {
        key.removeprefix("terms."): text for key, text in english.items() if key.startswith("terms.")
    }
    for column in ("gender", "age_band", "role"):
        assert {key.partition(".")[2] for key in english if key.startswith(f"{column}.")} == set(CODES[column])
    assert all(f"facts.{scheme}" in english for scheme in SCHEMES)


def test_no_sentence_is_left_that_nobody_says():
    source = "".join(file.read_text("utf-8") for file in FOLDER.parent.glob("*.py"))
    by_code = ("gender.", "age_band.", "role.", "origin.", "terms.", "excluded.", "paper.", "walk_code.", "walk_of.")
    by_code += tuple(f"night_report.{what}_" for what in ("quantity", "fault", "kind", "excluded"))
    by_scheme = {f"facts.{scheme}" for scheme in SCHEMES}
    # said as a whole, or put together of a table and the key's last words
    last = {key: re.sub(r"^(node|flag|head)_|_(few|more)$", "", key.partition(".")[2]) for key in catalogue("en")}
    left = [
        key
        for key in catalogue("en")
        if not key.startswith(by_code) and key not in by_scheme
        if not any(f"{sign}{said}{sign}" in source for said in (key, last[key]) for sign in "\"'")
    ]
    assert not left


@pytest.mark.parametrize("name", PAPERS)
def test_templates_have_the_same_blocks_values_and_gaps_in_both_languages(name):
    english, french = (paper_template(name, language) for language in ("en", "fr"))
    for pattern in (r"<!-- noctule: ([a-z-]+) -->", r"\{(\w+)\}"):
        assert re.findall(pattern, english) == re.findall(pattern, french)
    assert english.count("[to be filled in:") == french.count("[à compléter :") > 3
    assert english.count("\n* ") == french.count("\n* ")


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_banned_word_is_said(language, fitted, tmp_path):
    city, _ = fitted
    write_papers(city, tmp_path, [language])
    pages = (re.sub(r"<style>.*?</style>", "", path.read_text("utf-8")) for path in tmp_path.iterdir())
    texts = [*catalogue(language).values(), *pages]
    said = [found[0] for text in texts if (found := re.search(BANNED[language], text, re.IGNORECASE))]
    assert not said


def test_a_city_without_answers_gets_papers_that_say_so(tmp_path):
    city = make_city(tmp_path / "city")
    written = write_papers(city, tmp_path / "papers")
    assert len(written) == len(PAPERS) * len(LANGUAGES)
    card = (tmp_path / "papers" / "model-card.en.md").read_text("utf-8")
    assert "No model has been fitted yet" in card and "Nobody has answered yet" in card
    assert "SIMULATED: not what people here said" in card
    assert "the test suite" in card and "* tests" in card
    for paper in written:
        page = Path(paper.html).read_text("utf-8")
        assert "<script" not in page and "http" not in page and "noctule: end" not in page
        assert ("SIMULATED" if paper.language == "en" else "SIMULÉ") in page


def test_the_card_of_a_fitted_city_holds_its_digest_terms_and_validation(fitted, tmp_path):
    from analytics.judgements import keep_judgement

    city, model = fitted
    write_papers(city, tmp_path, ["fr"])
    card = (tmp_path / "model-card.fr.md").read_text("utf-8")
    assert model.digest in card and "noctule validate" in card
    around = surroundings(city)
    assert keep_judgement(city, "validation", validate(city, around, learn_from([], around)).to_dict())
    written = write_papers(city, tmp_path, ["fr"])
    card = (tmp_path / "model-card.fr.md").read_text("utf-8")
    assert "`noctule validate`" not in card and "carrés de 500 m |" in card
    assert not any(paper.edited or paper.removed for paper in written)


def test_a_judgement_of_other_answers_is_not_kept(fitted):
    from analytics.judgements import keep_judgement

    city, model = fitted
    perception = model.perception
    sample = {
        "answers": perception.n_answers + 1, "people": perception.n_people, "oldest": perception.oldest,
        "newest": perception.newest,
    }  # fmt: skip
    assert keep_judgement(city, "audit", {"sample": sample, "preset": "standard"}) is None
    sample["answers"] -= 1
    assert keep_judgement(city, "audit", {"sample": sample, "preset": "sceptical"}) is None


def test_answers_that_changed_since_the_fit_are_told(tmp_path):
    city = with_answers(tmp_path / "city", 150)
    fit(city, Night.named("2026-10-10", city.zone))
    path = tmp_path / "city" / "store" / "answers" / "made.parquet"
    pd.read_parquet(path).iloc[:-1].to_parquet(path)
    write_papers(city, tmp_path / "papers", ["en"])
    assert "The answers have changed" in (tmp_path / "papers" / "model-card.en.md").read_text("utf-8")


def test_numbers_that_few_people_move_are_not_told(tmp_path):
    gender = np.where(np.arange(150) < 6, "another", "woman")
    city = with_answers(tmp_path / "city", 150, gender=gender)
    fit(city, Night.named("2026-10-10", city.zone))
    write_papers(city, tmp_path / "papers", ["en"])
    card = (tmp_path / "papers" / "model-card.en.md").read_text("utf-8")
    line = next(line for line in card.splitlines() if line.startswith("| people of another gender | +"))
    assert "too few people to be told" in line
    assert "| women | −0.80 ± 0.40 | " in card
    assert re.search(r"\| people of another gender \| too few people", card)
    assert "6" not in re.sub(r"[^|]*16[^|]*|[^|]*65[^|]*", "", "".join(re.findall(r"\| people of another.*", card)))


def test_what_the_city_edits_stays_and_is_told(tmp_path):
    city = make_city(tmp_path / "city")
    folder = tmp_path / "papers"
    write_papers(city, folder, ["en"])
    path = folder / "model-card.en.md"
    text = path.read_text("utf-8")
    gap = to_fill(text, phrases("en"))[0]
    text = text.replace(f"[to be filled in: {gap}]", "lights@town.example")
    text = text.replace("* Modest skill.", "* Modest skill, as we saw in spring.")
    start, end = text.index("<!-- noctule: metrics"), text.index("<!-- noctule: training")
    path.write_text((text[:start] + text[end:]).replace("\n", "\r\n"), "utf-8", newline="")
    (card, *_) = write_papers(city, folder, ["en"])
    after = path.read_text("utf-8")
    assert card.edited == ["limits"] and card.removed == ["metrics"]
    assert "kept as the city edited it: limits" in card.text() and "took it out: metrics" in card.text()
    assert "lights@town.example" in after and "as we saw in spring" in after and "## Metrics" not in after
    assert gap not in after  # and so it left the list of what is to be filled in
    assert "as we saw in spring" in path.with_suffix(".html").read_text("utf-8")
    (card, *_) = write_papers(city, folder, ["en"], anew=True)
    assert "as we saw in spring" not in path.read_text("utf-8") and not card.edited


def test_blocks_that_nobody_touched_follow_the_city(tmp_path):
    city = make_city(tmp_path / "city")
    write_papers(city, tmp_path / "papers", ["en"])
    file = tmp_path / "city" / "city.toml"
    file.write_text(file.read_text("utf-8").replace("the test suite", "Office of Light"), "utf-8")
    written = write_papers(type(city).open(tmp_path / "city"), tmp_path / "papers", ["en"])
    assert not any(paper.edited for paper in written)
    assert "Office of Light" in (tmp_path / "papers" / "data-sheet.en.md").read_text("utf-8")


def test_marks_that_do_not_pair_leave_the_file_as_it_is(tmp_path):
    city = make_city(tmp_path / "city")
    write_papers(city, tmp_path / "papers", ["en"])
    path = tmp_path / "papers" / "dpia.en.md"
    broken = path.read_text("utf-8").replace("<!-- noctule: end -->", "", 1)
    path.write_text(broken, "utf-8")
    dpia = write_papers(city, tmp_path / "papers", ["en"])[-1]
    assert path.read_text("utf-8") == broken
    assert "no partner" in dpia.broken and "left as it is" in dpia.text()


def test_writing_again_changes_nothing(tmp_path):
    city = make_city(tmp_path / "city")
    write_papers(city, tmp_path / "papers")
    before = {path.name: path.read_bytes() for path in (tmp_path / "papers").iterdir()}
    write_papers(city, tmp_path / "papers")
    assert {path.name: path.read_bytes() for path in (tmp_path / "papers").iterdir()} == before
    assert len(before) == 2 * len(PAPERS) * len(LANGUAGES)


def test_merging_keeps_text_between_blocks():
    say = phrases("en")
    old = filled("<!-- noctule: a -->\none {x}\n<!-- noctule: end -->\nours\n", {"x": "1"}, say)
    new = filled("<!-- noctule: a -->\none {x}\n<!-- noctule: end -->\ntheirs\n", {"x": "2"}, say)
    text, edited, removed = merged(old.replace("ours", "our own"), new)
    assert "one 2" in text and "our own" in text and "theirs" not in text
    assert edited == removed == []


def test_an_unknown_language_or_folder_is_refused(tmp_path):
    city = make_city(tmp_path / "city")
    with pytest.raises(ExportError, match="'de'"):
        write_papers(city, tmp_path / "papers", ["de"])
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="file"):
        write_papers(city, tmp_path / "file", ["en"])


def test_every_article_that_the_assessment_needs_has_its_section():
    text = paper_template("dpia", "en")
    for article in ("35(7)(a)", "35(7)(b)", "35(7)(c)", "35(7)(d)", "35(2)", "35(9)", "35(11)", "Article 36"):
        assert article in text


@pytest.mark.parametrize("name", PAPERS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_file_that_a_paper_points_to_is_there(name, language):
    root = FOLDER.parents[1]
    text = paper_template(name, language)
    named = {*re.findall(r"`((?:sensors|ingest|analytics|dashboard|docs)/[\w./-]+)`", text)}
    named |= set(re.findall(r"\bdocs/[\w-]+\.md", text))
    assert named
    assert [path for path in named if not (root / path).is_file()] == []


def test_markdown_is_shown_and_html_in_it_is_only_text():
    page = markdown_page('# A\n\n<script>x</script> [a](javascript:x) [b](https://b.example/"q)', "t", "en")
    assert "<script" not in page and 'href="javascript' not in page and "&lt;script&gt;" in page
    assert '<a href="https://b.example/&quot;q">b</a>' in page
    assert markdown_html("* a\n* **b**\n\n1. c\n\n> d") == (
        "<ul><li>a</li><li><strong>b</strong></li></ul><ol><li>c</li></ol><blockquote><p>d</p></blockquote>"
    )
    assert "<th scope=col>h</th>" in markdown_html("| h | i |\n|---|---|\n| 1 | 2 |")
    assert markdown_html("2 * 3 * 4") == "<p>2 * 3 * 4</p>"


def test_catalogues_are_tables_of_texts():
    for language in LANGUAGES:
        content = tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))
        assert all(isinstance(text, str) for table in content.values() for text in table.values())
