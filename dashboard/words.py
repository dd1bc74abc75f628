"""The words of the page, in the languages we have catalogues for.

Every sentence has a key; the catalogues `locale/<language>/LC_MESSAGES/noctule.po` give its text, and are compiled
beside. A key that a catalogue misses raises here, so a test finds it (tests/unit/test_words.py).
Numbers and times are written as the language does (babel), times always in the city's zone.
"""

from __future__ import annotations

import gettext
import re
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from babel.dates import format_date, format_datetime, format_time
from babel.numbers import format_decimal

LANGUAGES = {"en": "English", "fr": "Français"}
DEFAULT = "en"
# French sets a space before these signs, and it must not end a line; catalogues are written with the plain one.
_SPACES = {":": "\u00a0"} | dict.fromkeys(";?!%", "\u202f")
_BEFORE_SIGNS = re.compile(" ([:;?!%])")
LOCALE = Path(__file__).parent / "locale"


class Words:
    """Says keys in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._catalogue = gettext.translation("noctule", LOCALE, [language])

    def __call__(self, key: str, /, **values: object) -> str:
        """The text of a key, with values put in; KeyError where the catalogue has none."""
        text = self._catalogue.gettext(key)
        if text == key:
            raise KeyError(f"the catalogue '{self.language}' has no text for '{key}'")
        if self.language == "fr":
            text = _BEFORE_SIGNS.sub(lambda found: _SPACES[found[1]] + found[1], text)
        return text.format(**values) if values else text

    def many(self, key: str, count: int, **values: object) -> str:
        """The text of a key for a number of things; catalogues hold the forms KEY.one and KEY.many."""
        single = count == 1 or (self.language == "fr" and count == 0)
        return self(f"{key}.one" if single else f"{key}.many", count=self.number(count), **values)

    def number(self, value: float, digits: int = 0) -> str:
        """A number as the language writes it, with as many digits behind the point as are claimed.

        >>> Words("en").number(2, 1), Words("fr").number(-1234.5)
        ('2.0', '−1\u202f234')
        """
        pattern = "#,##0" + ("." + "0" * digits if digits else "")
        return _minus(str(format_decimal(round(value, digits), pattern, locale=self.language)))

    def significant(self, value: float) -> str:
        """A quantity to two significant digits, which is all that the map claims.

        >>> Words("en").significant(1234.0), Words("fr").significant(0.256)
        ('1,200', '0,26')
        """
        if value == 0 or not np.isfinite(value):
            return self.number(0)
        digits = 1 - int(np.floor(np.log10(abs(value))))
        return _minus(str(format_decimal(round(value, digits), locale=self.language)))

    def clock(self, time: np.datetime64, zone: ZoneInfo) -> str:
        """Hour and minute in the city: 23:45, in both languages."""
        return str(format_time(_local(time, zone), "HH:mm", locale=self.language))

    def moment(self, time: np.datetime64, zone: ZoneInfo) -> str:
        """Day, hour and minute in the city."""
        return str(format_datetime(_local(time, zone), "d MMM HH:mm", tzinfo=zone, locale=self.language))

    def day(self, night: str) -> str:
        """A night's date in words: Friday 20 November 2026."""
        return str(format_date(datetime.fromisoformat(night).date(), "EEEE d MMMM y", locale=self.language))

    def date(self, day: str) -> str:
        """A day with its year, short: 20 Nov 2026."""
        return str(format_date(datetime.fromisoformat(day).date(), "d MMM y", locale=self.language))

    def short_day(self, night: str) -> str:
        """A night's date, short: Fri 20 Nov."""
        return str(format_date(datetime.fromisoformat(night).date(), "EEE d MMM", locale=self.language))


@lru_cache(maxsize=len(LANGUAGES))
def words(language: str | None) -> Words:
    """The words of a language; of the default where we do not have it."""
    return Words(language if language in LANGUAGES else DEFAULT)


def _minus(number: str) -> str:
    """With a minus in place of the hyphen, which is too short beside a plus."""
    return number.replace("-", "−")


def _local(time: np.datetime64, zone: ZoneInfo) -> datetime:
    milliseconds = int(time.astype("datetime64[ms]").astype(np.int64))
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone(zone)
