"""Instruments: what exactly was asked, as data in `sensors/instruments/*.toml`.

An instrument says how many categories an item has, which end of them is *very safe*, which construct it measures and
its words in each language. Answers keep their instrument's own categories (turned so that the highest is very safe) and
are never put on a metric scale.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

import msgspec

from sensors.errors import AnswerError

FORMAT = 1
POLARITIES = ("safe-is-high", "safe-is-low")
CONSTRUCTS = ("safety", "worry")  # a judgement of safety, and an emotion: never on one scale (perception.md 1)
SCOPES = ("here", "area")  # asked of the place where the person stands, or of the area they live in


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question of an instrument, its words and the words of its categories by language, as asked."""

    id: str
    words: dict[str, str]
    answers: dict[str, tuple[str, ...]]


class Instrument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was asked and how to read the answers."""

    format: int
    id: str
    title: str
    construct: str
    categories: int
    polarity: str
    safe_from: int  # first category, turned, that counts as "feels safe"
    light_states: tuple[str, ...]
    reference: str
    items: tuple[Item, ...]
    scope: str = "here"

    def normalised(self, category: int) -> int:
        """A category as asked, turned so that `categories` is very safe."""
        return category if self.polarity == "safe-is-high" else self.categories + 1 - category

    def category_of_words(self, words: str) -> int | None:
        """The category, as asked, that some words in any of its languages stand for."""
        asked = words.strip().casefold()
        for item in self.items:
            for answers in item.answers.values():
                for category, answer in enumerate(answers, start=1):
                    if answer.casefold() == asked:
                        return category
        return None


def instrument_names() -> list[str]:
    """The instruments there are.

    >>> "core-4" in instrument_names()
    True
    """
    folder = files("sensors").joinpath("instruments")
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


@cache
def load_instrument(name: str) -> Instrument:
    """One instrument by its id; AnswerError names those there are."""
    if name not in instrument_names():
        raise AnswerError(f"instrument '{name}' has no definition; expected one of {', '.join(instrument_names())}")
    text = files("sensors").joinpath("instruments", f"{name}.toml").read_text("utf-8")
    return read_instrument(text, name)


def read_instrument(text: str, name: str) -> Instrument:
    """An instrument from TOML; AnswerError says what is wrong with it."""
    try:
        instrument = msgspec.convert(tomllib.loads(text), Instrument)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise AnswerError(f"instrument '{name}': {error}") from error
    problems = []
    if instrument.format != FORMAT:
        problems.append(f"format {instrument.format} is not {FORMAT}")
    if instrument.id != name:
        problems.append(f"its id is '{instrument.id}'")
    if instrument.categories < 2 or not 1 < instrument.safe_from <= instrument.categories:
        problems.append(f"safe_from {instrument.safe_from} must part its {instrument.categories} categories")
    if instrument.polarity not in POLARITIES:
        problems.append(f"polarity '{instrument.polarity}' must be one of {', '.join(POLARITIES)}")
    if instrument.construct not in CONSTRUCTS:
        problems.append(f"construct '{instrument.construct}' must be one of {', '.join(CONSTRUCTS)}")
    if instrument.scope not in SCOPES:
        problems.append(f"scope '{instrument.scope}' must be one of {', '.join(SCOPES)}")
    problems += [
        f"item '{item.id}' has {len(answers)} answers in '{language}', expected {instrument.categories}"
        for item in instrument.items
        for language, answers in item.answers.items()
        if len(answers) != instrument.categories
    ]
    if problems:
        raise AnswerError(f"instrument '{name}': {'; '.join(problems)}")
    return instrument
