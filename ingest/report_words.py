"""Which reports are about persons: words, in English and French, that speak of somebody and not of a place.

A report about somebody is refused, whatever its category says: what is kept is of places. The lists are long on purpose
and a report of a place that mentions somebody in passing goes with them, since a report too few costs little and one
about a person costs that person. What is said of everybody ('people', 'pedestrians') or of oneself is about nobody.
"""

from __future__ import annotations

import re
import unicodedata

# One regular expression an idea, on text in lower case without accents.
_SOMEBODY = (
    r"(wo)?m[ae]n|guys?|bloke?s?|lads?|boys?|girls?|males?|females?|lady|ladies|gentlem[ae]n|youths?|youngsters?",
    r"teen(age)?(r)?s?|kids|juveniles?|gangs?|thugs?|hooligans?|yobs?|chavs?|individuals?|suspects?|strangers?",
    r"dealers?|junkies?|addicts?|drug ?users?|drunks?|drunkards?|alcoholics?|homeless|beggars?|rough sleepers?|tramps?",
    r"prostitutes?|sex workers?|pimps?|thie(f|ves)|robbers?|muggers?|burglars?|criminals?|offenders?|stalkers?",
    r"neighbou?rs?|tenants?|landlords?|squatters?|bouncers?|driver of|his name|her name|their name|perverts?",
    r"migrants?|immigrants?|refugees?|asylum seekers?|foreigners?|gyps(y|ies)|travellers?|roma|muslims?|jews?|blacks",
    r"africans?|arabs?|asians?|romanians?|albanians?|mr\.?|mrs\.?|ms\.?|he (is|was|has)|she (is|was|has)",
    r"hommes?|femmes?|mecs?|gars|garcons?|filles?|dames?|messieurs|monsieur|mesdames|madame|jeunes|ados?|adolescents?",
    r"individus?|bandes?|delinquants?|voyous?|racailles?|dealeurs?|drogues?|toxicomanes?|toxicos?|ivrognes?|alcooliques?",
    r"sdf|sans[- ]abris?|mendiants?|clochards?|prostituees?|proxenetes?|voleurs?|agresseurs?|criminels?|rodeurs?",
    r"voisine?s?|locataires?|proprietaires?|squatteurs?|videurs?|migrante?s?|immigree?s?|refugiee?s?|etrangers?",
    r"roms|gitane?s?|tsiganes?|musulmane?s?|juifs|juives|arabes?|africaine?s?|maghrebine?s?|les noirs|mme|mlle",
)
# What the reporter says of themselves is about nobody else.
_ONESELF = (
    r"\b(as|being|i am|i'm|for) (an?|the) (single |young |older |elderly |disabled |trans )?(wo)?man\b",
    r"\b(en tant que|comme|je suis|pour) (une |un )?(jeune )?(femme|homme)\b",
    r"\bman ?holes?\b",
)
_REACHED = (
    r"[\w.+-]+@[\w-]+\.\w+",  # an e-mail address
    r"(?:\+|\b00?)\d(?:[ .-]?\d){7,}",  # a telephone number
    r"\b[a-z]{2}[- ]?\d{3}[- ]?[a-z]{2}\b|\b[a-z]{2}\d{2} ?[a-z]{3}\b",  # a number plate, French or British
)
_PERSONS = re.compile(rf"(?<!\w)(?:{'|'.join(_SOMEBODY)})(?!\w)|{'|'.join(_REACHED)}")
_NOBODY = re.compile("|".join(_ONESELF))


def speaks_of_somebody(text: str) -> bool:
    """Whether a text is about a person, or holds how to reach one.

    >>> speaks_of_somebody("The lamp at the corner is out, it does not feel safe")
    False
    >>> speaks_of_somebody("Un groupe de jeunes devant la porte")
    True
    """
    return _PERSONS.search(_NOBODY.sub(" ", folded(text))) is not None


def folded(text: str) -> str:
    """In lower case, without accents and typographic marks."""
    apart = unicodedata.normalize("NFKD", text.replace("’", "'").replace("‘", "'"))
    return "".join(letter for letter in apart if not unicodedata.combining(letter)).casefold()
