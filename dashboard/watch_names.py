"""What a place that somebody watches may be called: not after a venue, a person or a script.

The map shows how safe people feel; a name beside it must point at a square or a stop, never at a house or who is in it.
A venue's name is recognised whatever its case, accents, spaces and punctuation, alone or within a longer name. Whether
a name is a person's can only be guessed from titles, possessives, numbers to call and addresses to write to.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from sensors.city import City
from sensors.errors import NoctuleError

LONGEST = 40
_FOLDED = str.maketrans({"ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "ı": "i"})
# What many venues are called beside their name, in the languages of our cities.
_GENERIC = frozenset((
    "bar", "baari", "bars", "pub", "club", "nightclub", "cafe", "kahvila", "ravintola", "restaurant", "bistro",
    "brasserie", "lounge", "disco", "tavern", "inn", "hotel", "the", "le", "la", "les", "l", "and", "et", "of",
    "de", "du",
))  # fmt: skip
_LEAST_CONTAINED = 4  # letters: shorter names of venues count only alone
_FORBIDDEN = re.compile(r"[<>{}\[\]\\`|=;\"]|://|www\.", re.IGNORECASE)
_PERSON = re.compile(
    r"\b(mr|mrs|ms|miss|mx|dr|prof|sir|herr|frau|mme|mlle|monsieur|madame|mademoiselle|m\.)\b\.?\s+\S"
    r"|\bchez\s+\S|['\u2019]s\s+(home|house|flat|place|apartment|room|door|window)\b"
    r"|\b(home|house|flat|apartment|door|window)\s+of\b|\b(domicile|maison|appartement)\s+de\b"
    r"|@|(?:\d[\s./-]?){6,}",
    re.IGNORECASE,
)


def folded(text: str) -> str:
    """Letters and digits alone, without case and accents.

    >>> folded("Café  D’Été № 9"), folded("Ølhallen")
    ('cafedeteno9', 'olhallen')
    """
    plain = unicodedata.normalize("NFKD", text).casefold().translate(_FOLDED)
    return "".join(letter for letter in unicodedata.normalize("NFKD", plain) if letter.isalnum())


def cleaned(text: str) -> str:
    """A name with single spaces."""
    return " ".join(text.split())


def wrong_with(name: str, venues: Iterable[str]) -> str:
    """What is wrong with a cleaned name: '', 'blank', 'long', 'script', 'person' or 'venue'.

    venues : folded names of `venue_names`

    >>> [wrong_with(name, {"moloko"}) for name in ("Market Square", "MÓ-loko, entrance", " ", "<b>x</b>", "chez Anna")]
    ['', 'venue', 'blank', 'script', 'person']
    """
    if len(name) > LONGEST:
        return "long"
    if any(unicodedata.category(letter)[0] == "C" for letter in name) or _FORBIDDEN.search(name):
        return "script"
    if not any(letter.isalpha() for letter in name):
        return "blank"
    if _PERSON.search(name):
        return "person"
    mine = folded(name)
    return "venue" if any(_named_after(mine, venue) for venue in venues) else ""


def venue_names(city: City) -> frozenset[str]:
    """Names of the city's venues, folded: each whole, and without what many are called."""
    try:
        given = city.places("venues")["name"]
    except (NoctuleError, KeyError):
        return frozenset()
    names: set[str] = set()
    for name in given:
        if not isinstance(name, str) or not folded(name):
            continue
        names.add(folded(name))
        own = [word for word in re.split(r"[\s'\u2019./-]+", name) if folded(word) not in _GENERIC]
        names.add(folded("".join(own)) or folded(name))
    return frozenset(names)


def _named_after(mine: str, venue: str) -> bool:
    return mine == venue or (len(venue) >= _LEAST_CONTAINED and venue in mine)
