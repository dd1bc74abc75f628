"""Sentences of what this room writes for people to read, in the languages that `texts/*.toml` are there for."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from sensors.errors import ExportError

LANGUAGES = ("en", "fr")
# French sets a space before these signs that must not end a line.
_SPACES = {":": "\u00a0"} | dict.fromkeys(";?!%", "\u202f")
_BEFORE_SIGNS = re.compile(" ([:;?!%])")


class Phrases:
    """Says keys in one language, and writes numbers as it does."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.texts = _texts(language)

    def __call__(self, key: str, /, **values: object) -> str:
        """The text of a key, with values put in; KeyError where the language has none."""
        text = self.typeset(self.texts[key])
        return text.format(**values) if values else text

    def typeset(self, text: str) -> str:
        """A text with the spaces that its language sets before signs."""
        if self.language != "fr":
            return text
        return _BEFORE_SIGNS.sub(lambda found: _SPACES[found[1]] + found[1], text)

    def number(self, value: float, digits: int = 0, *, sign: bool = False) -> str:
        """A number with as many digits behind the point as are claimed.

        >>> Phrases("en").number(1234.5, 1), Phrases("fr").number(-0.25, 2)
        ('1,234.5', '−0,25')
        """
        from babel.numbers import format_decimal

        pattern = "#,##0" + ("." + "0" * digits if digits else "")
        if sign:
            pattern = f"+{pattern};-{pattern}"
        return str(format_decimal(round(value, digits) + 0.0, pattern, locale=self.language)).replace("-", "−")

    def percent(self, share: float) -> str:
        """A share in whole per cent."""
        return (
            self.typeset(f"{self.number(100 * share)} %") if self.language == "fr" else f"{self.number(100 * share)} %"
        )

    def apart(self, items: list[str]) -> str:
        """Things that hold commas themselves, one after the other."""
        return self.typeset(" ; " if self.language == "fr" else "; ").join(items)

    def told(self, name: str, text: str) -> str:
        """What is said of something: a name, a colon and the text."""
        return self.typeset(f"{name} : {text}") if self.language == "fr" else f"{name}: {text}"

    def listed(self, items: list[str]) -> str:
        """Things one after the other: a, b and c."""
        if len(items) < 2:
            return "".join(items)
        return f"{', '.join(items[:-1])} {self.texts['word.and']} {items[-1]}"

    def group(self, classes: Mapping[str, tuple[str, ...]]) -> str:
        """Whom a group is of: women, 65 years and more, visitors or people at work."""
        either = f" {self.texts['word.or']} "
        said = [either.join(self.texts[f"{column}.{code}"] for code in klass) for column, klass in classes.items()]
        return ", ".join(said) or self.texts["audit.everybody"]


@cache
def phrases(language: str) -> Phrases:
    """The sentences of a language; ExportError names those there are."""
    if language not in LANGUAGES:
        raise ExportError(f"there is no language '{language}'; expected one of {', '.join(LANGUAGES)}")
    return Phrases(language)


def paper_template(name: str, language: str) -> str:
    """The text of a paper's template."""
    return files("analytics").joinpath("texts", f"{name}.{language}.md").read_text("utf-8")


def _texts(language: str) -> dict[str, str]:
    content = tomllib.loads(files("analytics").joinpath("texts", f"{language}.toml").read_text("utf-8"))

    def flat(table: Mapping[str, Any], prefix: str) -> dict[str, str]:
        out: dict[str, str] = {}
        for key, value in table.items():
            out |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
        return out

    return flat(content, "")
