"""Instruments: what exactly was asked, as data in `sensors/instruments/*.toml`.

An instrument says how many categories an item has, which end of them is *very safe*, which construct it measures and
its words in each language. Answers keep their instrument's own categories (turned so that the highest is very safe) and
are never put on a metric scale. Some items ask for a fact and have no safe end: their polarity is 'none'.

`never` holds the words for "I never go out alone there at night". Such an answer has a category of its own, NEVER: it
is missing, and not at random, and nothing counts it with the others unless it is asked to (perception.md 1).
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

import msgspec

from sensors.errors import AnswerError

FORMAT = 1
POLARITIES = ("safe-is-high", "safe-is-low", "none")
# A judgement of safety and an emotion are never on one scale (perception.md 1); what somebody told to whom, and whether
# staff or cameras put at ease, are facts and opinions that are published as shares and never mapped.
CONSTRUCTS = ("safety", "worry", "telling", "presence")
NOMINAL = ("telling", "presence")
NEVER = 0  # category of those who never go out there alone at night
# Asked of the place where the person stands, or of the area they live in; or told by whoever chose to write, which is
# kept apart from what people were asked.
SCOPES = ("here", "area", "told")


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
    never: dict[str, tuple[str, ...]] = {}  # language -> words for never going out there alone at night

    @property
    def of_a_moment(self) -> bool:
        """Whether it is asked of the place and hour at which it is answered."""
        return self.scope == "here" and self.construct not in NOMINAL

    def normalised(self, category: int) -> int:
        """A category as asked, turned so that `categories` is very safe."""
        turned = self.polarity == "safe-is-low" and category != NEVER
        return self.categories + 1 - category if turned else category

    def category_of_words(self, words: str) -> int | None:
        """The category, as asked, that some words in any of its languages stand for; NEVER for those of `never`."""
        asked = words.strip().casefold()
        if any(asked == said.casefold() for ways in self.never.values() for said in ways):
            return NEVER
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
    if instrument.construct in NOMINAL:
        if instrument.categories < 2 or instrument.safe_from or instrument.polarity != "none":
            problems.append("an item without a safe end has 2 categories or more, polarity 'none' and safe_from 0")
    elif instrument.polarity == "none":
        problems.append(f"polarity 'none' is for {' and '.join(NOMINAL)} alone")
    elif instrument.categories < 2 or not 1 < instrument.safe_from <= instrument.categories:
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
