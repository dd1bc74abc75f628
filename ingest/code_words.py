"""Words by which forms in English and French say our codes: gender, bands of age, company, roles, familiarity.

A word that says nothing by itself ('yes') counts only where the question's own header says what it is about.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from sensors.answer import CODES

_UNSAID = (
    *("undisclosed", "prefer not to say", "prefer not to answer", "rather not say", "no answer", "not stated", "pnts"),
    *("ne souhaite pas repondre", "ne souhaite pas se prononcer", "ne se prononce pas", "nsp", "sans reponse", "n a"),
    *("prefere ne pas repondre", "je prefere ne pas repondre", "je prefere ne pas le dire", "prefere ne pas le dire"),
)
_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "light_state": {
        "dark": ("dark", "after dark", "night", "nuit", "la nuit", "de nuit", "soir"),
        "day": ("day", "daylight", "by day", "jour", "de jour", "le jour", "journee"),
    },
    "gender": {
        "woman": ("woman", "women", "female", "f", "w", "femme", "une femme", "feminin", "fille"),
        "man": ("man", "men", "male", "m", "h", "homme", "un homme", "masculin", "garcon"),
        "another": ("another", "other", "non binary", "nonbinary", "non binaire", "diverse", "autre", "another gender"),
    },
    "disability": {"yes": ("disabled", "with a disability", "en situation de handicap"), "no": ("not disabled",)},
    "alone": {
        "alone": ("alone", "by myself", "on my own", "seul", "seule", "seul e"),
        "accompanied": (
            *("accompanied", "with others", "with someone", "in a group", "with friends", "in company", "not alone"),
            *("accompagne", "accompagnee", "accompagne e", "avec d autres", "en groupe", "a plusieurs", "pas seul"),
        ),
    },
    "role": {
        "resident": ("resident", "i live here", "live here", "habitant", "habitante", "habitant e", "j habite ici"),
        "visitor": ("visitor", "visiting", "tourist", "guest", "visiteur", "visiteuse", "de passage", "touriste"),
        "worker": ("worker", "i work here", "work here", "employee", "je travaille ici", "travailleur", "salarie"),
    },
    "familiarity": {
        "daily": ("daily", "every day", "each day", "tous les jours", "chaque jour", "quotidiennement"),
        "often": ("often", "every week", "weekly", "several times a week", "souvent", "chaque semaine"),
        "seldom": ("seldom", "rarely", "now and then", "monthly", "rarement", "parfois", "de temps en temps"),
        "first-time": ("first time", "first-time", "never before", "premiere fois", "la premiere fois"),
    },
}
# Counts only under a header that says what is asked.
_YES, _NO = ("yes", "y", "oui", "o", "true", "1"), ("no", "n", "non", "false", "0")
_ANSWERED: dict[str, tuple[str, str]] = {"disability": ("yes", "no"), "alone": ("alone", "accompanied")}
_HEADERS = {
    "light_state": r"light|dark|night|day|jour|nuit",
    "gender": r"gender|\bsex\b|genre|sexe",
    "age_band": r"\bage\b|tranche d",
    "disability": r"disab|handicap",
    "alone": r"alone|company|accompan|accompagn|\bseul",
    "role": r"\brole\b|live or work|resid|visitor|habit",
    "familiarity": r"how often|familiar|know this place|frequence|souvent|connaissez",
    "trigger": r"trigger",
}
_BANDS = {"16-24": (16, 24), "25-44": (25, 44), "45-64": (45, 64), "65+": (65, 130)}


def code_of(column: str, words: str, under_its_header: bool) -> str:
    """The code of a column of ours that some words stand for; '' where nobody can tell.

    under_its_header : the question's header says that it is about this column

    >>> code_of("gender", "Femme", False), code_of("age_band", "25 to 34 years", False), code_of("alone", "Oui", True)
    ('woman', '25-44', 'alone')
    """
    said = plain(words)
    if column == "age_band" and (band := _band(said)):
        return band
    found = _by_words(column).get(said, "")
    if found and (under_its_header or said not in (*_YES, *_NO)):
        return found
    if under_its_header and column in _ANSWERED:
        yes, no = _ANSWERED[column]
        return yes if said in _YES else no if said in _NO else ""
    return ""


@cache
def header_hints(column: str) -> re.Pattern[str]:
    """What a plain header that asks for a column of ours has in it."""
    return re.compile(_HEADERS[column])


def plain(text: str) -> str:
    """Words as they are compared: lower case, without accents, marks for spaces.

    >>> plain("  Pas_du tout  en sécurité! ")
    'pas du tout en securite'
    """
    apart = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return " ".join(re.findall(r"[a-z0-9+]+", letters))


@cache
def _by_words(column: str) -> dict[str, str]:
    ways = {plain(code): code for code in CODES[column]}
    for code, words in _WORDS.get(column, {}).items():
        ways |= dict.fromkeys(map(plain, words), code)
    if "undisclosed" in CODES[column]:
        ways |= dict.fromkeys(map(plain, _UNSAID), "undisclosed")
    return ways


def _band(said: str) -> str:
    """The band in which a whole range of ages, or one age, lies."""
    numbers = [int(number) for number in re.findall(r"\d{1,3}", said)]
    if len(numbers) == 1 and re.search(r"\+|over|older|plus|above|more", said):
        numbers.append(120)
    if not 1 <= len(numbers) <= 2:
        return ""
    low, high = numbers[0], numbers[-1]
    return next((band for band, (first, last) in _BANDS.items() if first <= low <= high <= last), "")
