"""Both catalogues are whole, agree with each other and with the code, and never say what we do not say."""

import ast
import re
from collections import Counter
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
    """Keys that the code says as they are, and the beginnings and ends of those that it puts together.

    A key of which one part goes through a list of the dashboard's is put together here as well, so that none of them
    can be missing.
    """
    whole, parts = set(), set()
    trees = [ast.parse(file.read_text("utf-8")) for file in ROOM.rglob("*.py")]
    found = [(_name(node), node.value) for tree in trees for node in tree.body if _is_list(node)]
    named = Counter(name for name, _ in found)
    everywhere = {name: value for name, value in found if named[name] == 1}  # of one name there may be several
    for tree in trees:
        lists = everywhere | {_name(node): node.value for node in tree.body if _is_list(node)}
        for node, around in _with_loops(tree, ()):
            called = isinstance(node, ast.Call) and node.args
            name = called and (getattr(node.func, "id", "") or getattr(node.func, "attr", ""))
            if not called or (name not in ("say", "words") and name != "many"):
                continue
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                whole |= {first.value + end for end in (".one", ".many")} if name == "many" else {first.value}
            elif isinstance(first, ast.JoinedStr):
                parts.add("".join(_pattern(part) for part in first.values))
                whole |= _put_together(first, around, lists)
    return whole, parts


def _name(node):
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return target.id if isinstance(target, ast.Name) else ""


def _is_list(node):
    return bool(_name(node)) and isinstance(getattr(node, "value", None), ast.Tuple | ast.List | ast.Dict)


def _pattern(part):
    return re.escape(str(part.value)) if isinstance(part, ast.Constant) else "[a-z0-9_-]+"


def _with_loops(node, around):
    """Every node with the loops and comprehensions around it: their variable, and what it goes through."""
    here = getattr(node, "generators", []) + ([node] if isinstance(node, ast.For) else [])
    around += tuple((loop.target.id, loop.iter) for loop in here if isinstance(loop.target, ast.Name))
    yield node, around
    for child in ast.iter_child_nodes(node):
        yield from _with_loops(child, around)


def _put_together(key, around, lists):
    open_parts = [part.value for part in key.values if isinstance(part, ast.FormattedValue)]
    if len(open_parts) != 1 or not isinstance(open_parts[0], ast.Name):
        return set()
    through = [iter_ for name, iter_ in around if name == open_parts[0].id]
    through = [lists.get(iter_.id) if isinstance(iter_, ast.Name) else iter_ for iter_ in through]
    if not through or not isinstance(through[-1], ast.Tuple | ast.List | ast.Dict):
        return set()
    items = through[-1].keys if isinstance(through[-1], ast.Dict) else through[-1].elts
    words_of = [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    return {
        "".join(str(part.value) if isinstance(part, ast.Constant) else word for part in key.values) for word in words_of
    }


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


@pytest.mark.parametrize("key", ["tray.half", "sheet.making", "clock.answers.one", "time.play", "note.line"])
def test_a_text_that_is_taken_out_is_missed(key):
    whole, _ = keys_in_code()
    assert key in whole


def test_a_script_asks_for_no_word_that_no_page_hands_it():
    """Labels reach scripts by name: `q.play` of a script is `play` somewhere in the pages."""
    handed = {
        node.value
        for file in ROOM.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    handed |= {
        node.arg
        for file in ROOM.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.keyword)
    }
    for file in (*(ROOM / "assets").glob("*.js"), *(ROOM / "late").glob("*.js")):
        asked = set(re.findall(r"\b(?:p\.labels|q)\.([a-z_]+)\b(?!\()", file.read_text("utf-8")))
        assert asked <= handed, (file.name, asked - handed)


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
