from __future__ import annotations

from importlib.resources import files

import pytest

from sensors.errors import AnswerError
from sensors.instrument import instrument_names, load_instrument, read_instrument

CORE = files("sensors").joinpath("instruments", "core-4.toml").read_text("utf-8")


@pytest.mark.parametrize("name", instrument_names())
def test_every_instrument_can_be_read_and_its_words_lead_back_to_their_categories(name):
    instrument = load_instrument(name)
    for item in instrument.items:
        assert {"en", "fr"} <= set(item.words)
        for answers in item.answers.values():
            assert [instrument.category_of_words(words.upper()) for words in answers] == list(
                range(1, instrument.categories + 1)
            )


def test_turning_a_polarity_twice_gives_the_category_back():
    upright = load_instrument("core-4")
    turned = read_instrument(CORE.replace('"safe-is-high"', '"safe-is-low"'), "core-4")
    assert [upright.normalised(c) for c in (1, 2, 3, 4)] == [1, 2, 3, 4]
    assert [turned.normalised(c) for c in (1, 2, 3, 4)] == [4, 3, 2, 1]
    assert [turned.normalised(turned.normalised(c)) for c in (1, 4)] == [1, 4]


def test_words_that_are_no_answer_have_no_category():
    assert load_instrument("core-4").category_of_words("safe enough") is None


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("categories = 4", "categories = 5", "expected 5"),
        ("safe_from = 3", "safe_from = 1", "safe_from 1"),
        ('"safe-is-high"', '"up"', "polarity 'up'"),
        ('id = "core-4"', 'id = "core-5"', "its id is 'core-5'"),
        ("format = 1", "format = 2", "format 2"),
        ("format = 1", "form = 1", "form"),
    ],
)
def test_a_wrong_definition_says_what_is_wrong(old, new, why):
    with pytest.raises(AnswerError, match=why):
        read_instrument(CORE.replace(old, new, 1), "core-4")


def test_an_instrument_without_a_definition_names_those_there_are():
    with pytest.raises(AnswerError, match=r"expected one of .*core-4"):
        load_instrument("foca")
