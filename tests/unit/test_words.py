"""Both catalogues are whole, agree with each other and with the code, and never say what we do not say."""

import ast
import re
from pathlib import Path

import pytest
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from dashboard.words import LANGUAGES, LOCALE, words

ROOM = Path(__file__).resolve().parents[2] / "dashboard"
# DESIGN 7: a place is never called dangerous; the French words are fixed.
BANNED = {
    "en": r"danger|unsafe|hot ?spot|no-go|crime map|risk zone|worst|avoid\b|high-risk|black spot|insecur",
    "fr": r"danger|insécur|zones? à risque|points? noirs?|coupe-gorge|à éviter|criminogène|\blumière",
}


def catalogue(language):
    with open(LOCALE / language / "LC_MESSAGES" / "noctule.po", "rb") as file:
        return read_po(file, locale=language)


def texts(language):
    return {message.id: message.string for message in catalogue(language) if message.id}


def keys_in_code():
    """Keys that the code says as they are, and the beginnings and ends of those that it puts together."""
    whole, parts = set(), set()
    for file in ROOM.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            called = isinstance(node, ast.Call) and node.args
            name = called and (getattr(node.func, "id", "") or getattr(node.func, "attr", ""))
            if not called or (name not in ("say", "words") and name != "many"):
                continue
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                whole |= {first.value + end for end in (".one", ".many")} if name == "many" else {first.value}
            elif isinstance(first, ast.JoinedStr):
                pattern = "".join(
                    re.escape(str(part.value)) if isinstance(part, ast.Constant) else "[a-z0-9_-]+"
                    for part in first.values
                )
                parts.add(pattern)
    return whole, parts


def test_the_catalogues_hold_the_same_keys():
    assert texts("en").keys() == texts("fr").keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_missing(language):
    assert not [key for key, text in texts(language).items() if not text.strip()]


def test_every_key_that_the_code_says_has_a_text():
    whole, parts = keys_in_code()
    known = texts("en").keys()
    assert len(whole) > 60
    assert not {key for key in whole if "." in key} - known
    assert not [pattern for pattern in parts if "." in pattern and not any(re.fullmatch(pattern, key) for key in known)]


def test_no_text_is_left_that_nobody_says():
    whole, parts = keys_in_code()
    source = "".join(file.read_text("utf-8") for file in ROOM.rglob("*.py"))
    left = [
        key
        for key in texts("en")
        if key not in whole and not any(re.fullmatch(part, key) for part in parts) and f'"{key}"' not in source
    ]
    assert not left


def test_both_languages_put_the_same_values_in():
    english, french = texts("en"), texts("fr")
    for key, text in english.items():
        assert sorted(re.findall(r"{(\w+)}", text)) == sorted(re.findall(r"{(\w+)}", french[key])), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_banned_word_is_said(language):
    said = [text for text in texts(language).values() if re.search(BANNED[language], text, re.IGNORECASE)]
    assert not said


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_compiled_catalogue_is_the_one_we_read(language, tmp_path):
    with open(tmp_path / "noctule.mo", "wb") as file:
        write_mo(file, catalogue(language))
    kept = LOCALE / language / "LC_MESSAGES" / "noctule.mo"
    assert kept.read_bytes() == (tmp_path / "noctule.mo").read_bytes(), "pybabel compile -d dashboard/locale -D noctule"


def test_a_missing_key_is_said_and_not_shown():
    with pytest.raises(KeyError, match=r"no\.such\.key"):
        words("en")("no.such.key")


def test_numbers_are_written_as_the_language_does():
    assert words("en").number(1234.56, 1) == "1,234.6"
    assert words("fr").number(1234.56, 1).replace("\u202f", " ") == "1 234,6"
    assert words("fr").significant(0.0456) == "0,046"
    assert words("xx").language == "en"


def test_french_never_breaks_a_line_before_a_sign():
    assert words("fr")("plan.interval", low="1", high="2") == "(90\u202f%\u00a0:\u00a01\u00a0à\u00a02)"
    assert words("en")("plan.interval", low="1", high="2") == "(90\u00a0%:\u00a01\u00a0to\u00a02)"
