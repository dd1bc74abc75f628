"""Words of forms lead to our codes, and a word that says nothing by itself leads nowhere."""

from __future__ import annotations

import pytest

from ingest.code_words import code_of, plain
from sensors.answer import CODES


@pytest.mark.parametrize("column", [name for name in CODES if name != "trigger"])
def test_our_own_codes_lead_to_themselves_under_their_header(column):
    assert [code_of(column, code, True) for code in CODES[column]] == list(CODES[column])


@pytest.mark.parametrize(
    ("said", "band"),
    [
        ("18-24", "16-24"),
        ("25_to_34", "25-44"),
        ("75 and over", "65+"),
        ("65 ans et plus", "65+"),
        ("44", "25-44"),
        ("12", ""),
        ("20-30", ""),
        ("over 60", ""),
        ("1990", ""),
    ],
)
def test_ages_count_only_where_one_band_holds_them(said, band):
    assert code_of("age_band", said, True) == band


def test_yes_says_nothing_without_its_question():
    assert [code_of("disability", "yes", hint) for hint in (True, False)] == ["yes", ""]
    assert [code_of("alone", "non", hint) for hint in (True, False)] == ["accompanied", ""]


def test_not_saying_is_an_answer_in_both_languages():
    for said in ("Prefer not to say", "Ne souhaite pas répondre", "je préfère ne pas le dire"):
        assert code_of("gender", said, False) == "undisclosed"


def test_plain_words_are_the_same_with_and_without_accents_and_marks():
    assert plain("Plutôt_pas en SÉCURITÉ !") == plain("plutot pas en securite")
