from __future__ import annotations

from importlib.resources import files

import pytest

from sensors.errors import AnswerError
from sensors.instrument import NEVER, NOMINAL, instrument_names, load_instrument, read_instrument

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


def test_an_item_without_a_safe_end_is_left_as_it_was_asked():
    told = load_instrument("told-whom-7")
    assert [told.normalised(c) for c in range(1, 8)] == list(range(1, 8))
    assert not told.of_a_moment and told.construct in NOMINAL


@pytest.mark.parametrize(
    ("name", "old", "new", "why"),
    [
        ("told-2", "safe_from = 0", "safe_from = 2", "without a safe end"),
        ("told-2", 'polarity = "none"', 'polarity = "safe-is-low"', "without a safe end"),
        ("core-4", '"safe-is-high"', '"none"', "polarity 'none' is for telling and presence alone"),
    ],
)
def test_a_safe_end_and_none_do_not_mix(name, old, new, why):
    text = files("sensors").joinpath("instruments", f"{name}.toml").read_text("utf-8")
    with pytest.raises(AnswerError, match=why):
        read_instrument(text.replace(old, new, 1), name)


def test_never_going_out_is_a_code_of_its_own_whichever_end_is_safe():
    area = load_instrument("area-4")
    assert area.category_of_words("I never go out alone at night") == NEVER == area.normalised(NEVER)
    assert load_instrument("core-4").category_of_words("I never go out alone at night") is None
