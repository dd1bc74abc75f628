"""What each column of an export probably is, and a draft of the mapping that reads it.

Kobo and LimeSurvey name their own columns, so a file says which of them it comes from. What a question is, its answers
say: a column whose values are the answers of an instrument, in a language of the instrument, asks that instrument's
item. Words settle which end is safe. Codes such as 'A1' or plain numbers do not, and the draft then holds a '?' in
their place, which an import refuses until somebody has written what they mean. Columns that say who somebody is, and
columns of free text, are named and not looked into any further.

The draft is a beginning: whoever made the form knows what was asked.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from ingest.code_words import code_of, header_hints, plain
from ingest.survey_file import REQUIRED, Mapping, load_table, looks_like_identity, text_of
from ingest.survey_items import NEVER_WORD, read_point
from sensors.answer import CODES
from sensors.instrument import NEVER, Instrument, instrument_names, load_instrument

SYSTEMS = {"kobo": "a KoboToolbox export", "limesurvey": "a LimeSurvey export", "table": "a table of no known system"}
UNKNOWN = "?"  # in a draft: what the file does not say
FEW_VALUES = 15  # a question with more different answers than this is no choice of a few
MOST_COLUMNS = 500
_LONG, _VARIED = 25, 0.5  # mean characters and share of different values from which a column is free text
_KOBO = {"_uuid", "_submission_time", "_submitted_by", "_validation_status", "__version__", "formhub/uuid"}
_LIME = {"submitdate", "startlanguage", "lastpage", "datestamp", "seed"}
_LIME_HEADS = {
    "date submitted",
    "start language",
    "last page",
    "date de soumission",
    "langue de depart",
    "derniere page",
}
_OF_THE_SYSTEM = {
    *("_id", "_index", "_tags", "_notes", "_status", "_validation_status", "__version__", "_version_", "_xform_id"),
    *("_attachments", "_bamboo_dataset_id", "_supplementaldetails", "_submitted_by", "formhub/uuid", "meta/instanceid"),
    *("meta/rootuuid", "_parent_index", "_parent_table_name", "lastpage", "last page", "derniere page", "seed"),
    *("startlanguage", "start language", "langue de depart", "today", "instanceid", "deprecatedid", "audit"),
}
_IDENTITY = (
    *("username", "user", "deviceid", "device", "subscriberid", "simserial", "phonenumber", "phone_number", "ipaddr"),
    *(
        "ip address",
        "adresse ip",
        "refurl",
        "referrer url",
        "url de reference",
        "token",
        "firstname",
        "lastname",
        "nom",
    ),
    *("prenom", "telephone", "adresse", "courriel", "mail", "surname", "_submitted_by", "birthdate", "date of birth"),
)
_IDS = ("response_id", "_uuid", "response id", "id de la reponse", "id", "_id")
_TIMES = ("time", "start", "end", "submitdate", "date submitted", "date de soumission", "datestamp", "startdate")
_MORE_TIMES = ("date last action", "date started", "_submission_time", "timestamp", "date", "horodateur")
_ITEM_HINT = re.compile(r"safe|unsafe|secur|feel|sent(ez|ir|i)|worr|crain|peur|at ease|a l.aise|told|dit a|comfortable")
_NUMBERED = re.compile(r"\b(id|number|no|nr|numero|n)\b")
_AREA = re.compile(r"area|neighbou?rhood|quartier|local")
_DAY, _DARK = re.compile(r"\b(day|daytime|daylight|jour|journee)\b"), re.compile(r"\b(dark|night|nuit|soir|evening)\b")


@dataclass(frozen=True)
class ColumnGuess:
    """What one column probably is.

    kind : 'identity', 'system', 'free text', 'response_id', 'time', 'place', 'item', a column of ours, or 'unknown'
    words : the same for a person
    """

    column: str
    kind: str
    words: str


@dataclass
class Guess:
    """What a file probably is, and what it leaves open.

    questions : what somebody who made the form must say before an import
    """

    file: str
    system: str
    columns: list[ColumnGuess] = field(default_factory=list)
    content: dict[str, Any] = field(default_factory=dict)  # of the mapping
    remarks: dict[str, str] = field(default_factory=dict)  # beside a line of the draft
    questions: list[str] = field(default_factory=list)

    @property
    def mapping(self) -> Mapping:
        """The draft as an import reads it."""
        return msgspec.convert(self.content, Mapping)

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it with --json."""
        return {
            "system": self.system,
            "guessed_columns": [{"column": one.column, "is": one.kind, "words": one.words} for one in self.columns],
            "draft": self.content,
            "questions": self.questions,
        }

    def text(self) -> str:
        """For people: column by column, then what is left open."""
        lines = [f"{self.file} looks like {SYSTEMS[self.system]}:"]
        lines += [f"  {_plain_line(one.column)[:60]}: {one.words}" for one in self.columns]
        if self.questions:
            lines.append("What the file does not say:")
            lines += [f"  - {_plain_line(question)}" for question in self.questions]
        return "\n".join(lines)

    def toml(self) -> str:
        """The draft, with what is left open in comments."""
        lines = [f"# How {_plain_line(self.file)} becomes answers, guessed; read every line before the import."]
        lines += [f"# open: {_plain_line(question)}" for question in self.questions]
        for name in ("zone", "geopoint"):
            if name in self.content or name == "zone":
                remark = self.remarks.get(name, "")
                lines.append(f"{name} = {_quoted(self.content.get(name, ''))}{remark}")
        for name in ("columns", "fixed"):
            if self.content.get(name):
                lines += ["", f"[{name}]", *_lines(self.content[name])]
        for name, codes in self.content.get("codes", {}).items():
            lines += ["", f"[codes.{name}]", *_lines(codes)]
        for item in self.content.get("items", []):
            lines += ["", "[[items]]"]
            lines += [f"{key} = {_quoted(item[key])}" for key in ("column", "instrument", "light_state") if key in item]
            if item.get("codes"):
                lines += ["", "[items.codes]", *_lines(item["codes"])]
        text = "\n".join(lines) + "\n"
        msgspec.convert(tomllib.loads(text), Mapping)  # a draft that an import could not read would be no draft
        return text


def has_our_columns(file: Path) -> bool:
    """Whether a file names its columns as an import without a mapping reads them."""
    names = {str(name).strip().lower() for name in load_table(file, rows=1).columns}
    return set(REQUIRED) <= names and {"lon", "lat"} <= names


def guess_columns(file: Path) -> Guess:
    """Look at a file of answers column by column and draft its mapping; nothing is kept."""
    table = load_table(file)
    names = [str(name) for name in table.columns][:MOST_COLUMNS]
    lower = {plain(name): name for name in reversed(names)}
    guess = Guess(file.name, _system(set(lower), {name.strip().lower() for name in names}))
    found = _Found(guess, table, lower)
    for name in names:
        guess.columns.append(_column(found, name))
    _place(found)
    _response_and_time(found)
    _items_told(found)
    guess.questions += _other_sheets(file)
    return guess


def _other_sheets(file: Path) -> list[str]:
    """What a workbook holds beside its first sheet: Kobo keeps repeated questions there."""
    if not file.name.lower().endswith((".xlsx", ".xlsm")):
        return []
    with pd.ExcelFile(file) as workbook:
        more = [str(name) for name in workbook.sheet_names[1:]]
    return [f"only the first sheet is read; {_named(more)} would need a file of their own"] if more else []


@dataclass
class _Found:
    """What was found so far, while columns are looked at one after the other."""

    guess: Guess
    table: pd.DataFrame
    lower: dict[str, str]  # plain name -> name
    items: list[tuple[str, Instrument, dict[str, str | int], bool]] = field(default_factory=list)
    points: list[str] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        """What stands in a column, as text, empty cells left out."""
        return [said for value in self.table[name] if (said := text_of(value))]


def _system(lower: set[str], exact: set[str]) -> str:
    if exact & _KOBO:
        return "kobo"
    if len(exact & _LIME) >= 2 or len(lower & _LIME_HEADS) >= 2:
        return "limesurvey"
    return "table"


def _column(found: _Found, name: str) -> ColumnGuess:
    """One column: by its name first, and into its values only where its name says nothing of a person."""
    key = plain(name)
    last = plain(re.split(r"[/.]", name)[-1]) if "/" in name else key
    if _names_somebody(last) or (looks_like_identity(name) and not _ITEM_HINT.search(key)):
        return ColumnGuess(name, "identity", "says who somebody is: never read")
    if key in _OF_THE_SYSTEM or name.strip().lower() in _OF_THE_SYSTEM:
        return ColumnGuess(name, "system", "kept by the system itself: not read")
    for ours in (*_IDS, *_TIMES, *_MORE_TIMES):
        if last == plain(ours):
            kind = "response_id" if ours in _IDS else "time"
            return ColumnGuess(name, kind, "names the response" if kind == "response_id" else "a time")
    if re.search(r"(^|[_ ])(altitude|precision|accuracy)$", last):
        return ColumnGuess(name, "system", "how exactly the phone knew its place: not read")
    if re.search(r"(^|[_ ])(lat|latitude|lon|lng|long|longitude)$", last):
        return ColumnGuess(name, "place", "half of a place, in degrees")
    values = found.values(name)
    if not values:
        return ColumnGuess(name, "unknown", "empty: not read")
    if sum(read_point(value) != ("", "") for value in values) >= 0.8 * len(values) and not _numbers(values):
        found.points.append(name)
        return ColumnGuess(name, "place", "'latitude longitude' in one cell; its middle of the street is kept")
    distinct = sorted(set(values), key=plain)
    if len(distinct) <= FEW_VALUES and (by_words := _instrument_of(last, distinct)) is not None:
        tool, codes = by_words
        found.items.append((name, tool, codes, True))
        missing = [value for value in distinct if value not in codes]
        return ColumnGuess(name, "item", _said_of(tool, codes, missing))
    if len(distinct) > FEW_VALUES or _is_free_text(values, distinct):
        return _many_values(name, last, values, distinct, found)
    return _few_values(name, last, distinct, found)


def _many_values(name: str, last: str, values: list[str], distinct: list[str], found: _Found) -> ColumnGuess:
    """Free text, a number, an age, or a pseudonym: what has many different values."""
    if _is_free_text(values, distinct):
        return ColumnGuess(name, "free text", "free text: off by default, named and not read")
    if last in ("pseudonym", "participant", "participant id", "panel id", "respondent"):
        found.guess.content.setdefault("columns", {})["pseudonym"] = name
        return ColumnGuess(
            name, "pseudonym", "the same person's answers; kept as a keyed hash that changes every month"
        )
    if last in ("weight", "poids", "ponderation") and _numbers(values):
        found.guess.content.setdefault("columns", {})["weight"] = name
        return ColumnGuess(name, "weight", "what an answer counts; more than 1 counts as 1")
    if re.search(r"\bage\b", last) and all(re.fullmatch(r"\d{1,3}", value) for value in distinct):
        return _coded(name, "age_band", distinct, found)
    return ColumnGuess(name, "unknown", f"{len(distinct)} different values: not read")


def _few_values(name: str, last: str, distinct: list[str], found: _Found) -> ColumnGuess:
    """A choice of a few: one of our codes, or a question that is not ours."""
    options = {plain(value) for value in distinct}
    if _one_of_several(name, found) and options <= {"0", "1", "y", "n", "yes", "no", "true", "false", "oui", "non"}:
        return ColumnGuess(name, "unknown", "one box of a choice of several: not read")
    asked = [ours for ours in CODES if ours != "trigger"]
    for ours in sorted(asked, key=lambda ours: header_hints(ours).search(last) is None):
        hint = header_hints(ours).search(last) is not None
        if hint or not _ITEM_HINT.search(last):
            known = [value for value in distinct if code_of(ours, value, hint)]
            if len(known) >= (1 if hint else 2) and len(known) >= 0.6 * len(distinct):
                return _coded(name, ours, distinct, found)
    if _ITEM_HINT.search(last):
        return _uncertain(name, last, distinct, found)
    if all(re.fullmatch(r"[A-Z]{1,2}\d{1,3}", value) for value in distinct):
        words = f"answer codes ({_named(distinct)}): what was asked is not told; if it is an instrument's question, "
        return ColumnGuess(name, "unknown", f"{words}name it in [[items]] with its codes")
    if re.search(r"consent", last):
        found.guess.content.setdefault("columns", {})["consent_version"] = name
        return ColumnGuess(name, "consent_version", "which consent was given")
    return ColumnGuess(name, "unknown", f"{len(distinct)} different values, none of ours: not read")


def _coded(name: str, ours: str, distinct: list[str], found: _Found) -> ColumnGuess:
    """A column whose values are codes of ours in other words; of two that could be, the first."""
    columns = found.guess.content.setdefault("columns", {})
    if ours in columns:
        return ColumnGuess(name, "unknown", f"could be {ours} as well, which is read from '{columns[ours]}'")
    hint = bool(header_hints(ours).search(plain(name)))
    codes = {value: code_of(ours, value, hint) or UNKNOWN for value in distinct}
    columns[ours] = name
    found.guess.content.setdefault("codes", {})[ours] = {
        value: code for value, code in codes.items() if code != value.lower()
    }
    open_ = [value for value, code in codes.items() if code == UNKNOWN]
    if open_:
        found.guess.questions.append(f"{ours} ('{name}'): what is {_named(open_)}?")
    told = f", but for {_named(open_)}" if open_ else ""
    return ColumnGuess(name, ours, f"{ours}: {len(distinct)} values of which each is one of ours{told}")


def _uncertain(name: str, last: str, distinct: list[str], found: _Found) -> ColumnGuess:
    """A question about feelings in codes or in words that no instrument has."""
    number = [re.fullmatch(r"[A-Za-z]{0,3}0*(\d{1,2})", value) for value in distinct]
    if not all(number):
        found.guess.questions.append(f"'{name}' has {len(distinct)} different answers that are those of no instrument")
        return ColumnGuess(name, "unknown", f"{len(distinct)} answers in words of no instrument: not read")
    highest = max(int(one[1]) for one in number if one)
    fits = [tool for tool in _tools() if tool.categories == highest and tool.construct in ("safety", "worry")]
    fits = [tool for tool in fits if tool.scope != "told"]
    if not fits:
        sizes = sorted({tool.categories for tool in _tools() if tool.construct == "safety" and tool.scope != "told"})
        found.guess.questions.append(
            f"'{name}' goes up to {highest}, and the instruments have {', '.join(map(str, sizes))} categories; "
            "an instrument of its own may be needed, never other numbers"
        )
        return ColumnGuess(name, "unknown", f"numbers up to {highest}: no instrument has {highest} categories")
    tool = _preferred(fits, last)
    found.items.append((name, tool, dict.fromkeys(distinct, UNKNOWN), False))
    ends = tool.items[0].answers["en"]
    found.guess.questions.append(
        f"'{name}': which end is safe? {tool.id} counts 1 = '{ends[0]}' to {tool.categories} = '{ends[-1]}'; "
        "write for each code what it was"
    )
    return ColumnGuess(name, "item", f"codes of {highest} categories, perhaps {tool.id}; which end is safe is not told")


def _instrument_of(header: str, distinct: list[str]) -> tuple[Instrument, dict[str, str | int]] | None:
    """The instrument whose answers the values are, and their categories as asked; the one that fits most of them."""
    best: list[tuple[int, Instrument, dict[str, str | int]]] = []
    for tool in _tools():
        ways = _ways(tool)
        codes = {value: ways[plain(value)] for value in distinct if plain(value) in ways}
        steps = {category for category in codes.values() if category != NEVER_WORD}
        # One answer alone tells an instrument only if it says more than 'yes'.
        telling = len(steps) >= 2 or (len(codes) == len(distinct) and all(" " in plain(value) for value in codes))
        if codes and telling and len(codes) >= 0.5 * len(distinct):
            best.append((len(codes), tool, codes))
    if not best:
        return None
    most = max(count for count, _, _ in best)
    tool = _preferred([one for count, one, _ in best if count == most], header)
    return tool, next(codes for _, one, codes in best if one.id == tool.id)


def _preferred(tools: Sequence[Instrument], header: str) -> Instrument:
    """Of instruments with the same words the one that the question's own words speak for."""
    of_area = bool(_AREA.search(header))
    return min(
        tools, key=lambda tool: ((tool.scope == "area") != of_area, tool.id not in ("core-4", "area-4"), tool.id)
    )


def _tools() -> list[Instrument]:
    return [load_instrument(name) for name in instrument_names()]


def _ways(tool: Instrument) -> dict[str, str | int]:
    """All words for each answer of an instrument, plain, with its category."""
    ways: dict[str, str | int] = {}
    for item in tool.items:
        for answers in item.answers.values():
            ways |= {plain(words): category for category, words in enumerate(answers, start=1)}
    ways |= {plain(words): NEVER_WORD for said in tool.never.values() for words in said}
    return ways


def _said_of(tool: Instrument, codes: dict[str, str | int], missing: list[str]) -> str:
    alike = [one.id for one in _tools() if one.id != tool.id and _ways(one).keys() >= {plain(value) for value in codes}]
    words = f"answers of {tool.id} in words, so that which end is safe is known"
    if alike:
        words += f" (the words are also those of {', '.join(alike)}: what was asked decides)"
    if missing:
        words += f"; not among them: {_named(missing)}"
    return words


def _items_told(found: _Found) -> None:
    """The questions as items of the mapping, those of the day and of the dark told apart."""
    items: list[dict[str, Any]] = []
    for name, tool, codes, in_words in found.items:
        item: dict[str, Any] = {"column": name, "instrument": tool.id}
        header = plain(name)
        if "day" in tool.light_states and _DAY.search(header) and not _DARK.search(header):
            item["light_state"] = "day"
        elif "day" in tool.light_states and _DARK.search(header) and not _DAY.search(header):
            item["light_state"] = "dark"
        known = {said: NEVER_WORD if category == NEVER else category for said, category in codes.items()}
        same = in_words and all(tool.category_of_words(said) == category for said, category in known.items())
        if not same:
            item["codes"] = known
        if any((one["instrument"], one.get("light_state")) == (tool.id, item.get("light_state")) for one in items):
            found.guess.questions.append(f"'{name}' asks {tool.id} once more; it is left out of the draft")
            continue
        items.append(item)
    by_day = {item["instrument"] for item in items if item.get("light_state") == "day"}
    for item in items:
        if item["instrument"] in by_day:  # one of the two is by day, so the other is not
            item.setdefault("light_state", "dark")
    if items:
        found.guess.content["items"] = items
    else:
        found.guess.questions.append("no column asks an item of an instrument; name it in [[items]] with its codes")


def _place(found: _Found) -> None:
    """Two columns in degrees, else one cell with both."""
    columns = found.guess.content.setdefault("columns", {})
    halves: dict[str, list[str]] = {"lat": [], "lon": []}
    for one in found.guess.columns:
        half = re.search(r"(lat|latitude|lon|lng|long|longitude)$", plain(one.column))
        if one.kind == "place" and half:
            halves["lat" if half[1].startswith("lat") else "lon"].append(one.column)
    full = {name for names in halves.values() for name in names if found.values(name)}
    if all(full.intersection(names) for names in halves.values()):
        for ours, names in halves.items():
            name = next(name for name in names if name in full)
            if name != ours:
                columns[ours] = name
    elif found.points:
        found.guess.content["geopoint"] = max(found.points, key=lambda name: len(found.values(name)))
    else:
        found.guess.questions.append("no column holds a place; an answer needs lon and lat, or a point in one cell")


def _response_and_time(found: _Found) -> None:
    columns = found.guess.content.setdefault("columns", {})
    numbers = [found.lower[plain(name)] for name in _IDS if plain(name) in found.lower]
    others = [one.column for one in found.guess.columns if one.kind == "unknown"]
    numbers += [name for name in others if _NUMBERED.search(plain(name)) and _numbers(found.values(name))]
    whole = [name for name in numbers if len(set(found.values(name))) == len(found.table)]
    if whole:
        if whole[0] != "response_id":
            columns["response_id"] = whole[0]
    else:
        found.guess.questions.append("no column names each response once; add one, for example a running number")
    ends = {plain(re.split(r"[/]", name)[-1]): name for name in reversed(list(found.lower.values()))}
    times = [ends[plain(name)] for name in (*_TIMES, *_MORE_TIMES) if plain(name) in ends]
    times = [name for name in times if found.values(name)]
    with_clock = [name for name in times if all(re.search(r"\d[T ]\d{1,2}:\d", said) for said in found.values(name))]
    if not with_clock:
        what = f"'{times[0]}' holds days only" if times else "no column holds a time"
        found.guess.questions.append(f"{what}; an answer needs the hour in which it was given")
        return
    name = with_clock[0]
    if name != "time":
        columns["time"] = name
    said = found.values(name)
    if all(text.startswith("1980-01-01") for text in said):
        found.guess.questions.append(f"'{name}' is 1980-01-01 throughout: the survey hides its times; export them")
    elif not all(re.search(r"(Z|[+-]\d\d:?\d\d)$", text) for text in said):
        if plain(name) == plain("_submission_time"):
            found.guess.content["zone"] = "UTC"
            found.guess.remarks["zone"] = "   # Kobo writes _submission_time in UTC; it is when the phone sent the form"
        else:
            found.guess.questions.append(f"'{name}' has no zone: write in 'zone' which, like Europe/Paris")
            found.guess.remarks["zone"] = "   # of the times, like Europe/Paris"


def _one_of_several(name: str, found: _Found) -> bool:
    """Whether a column is one box of a choice of several: Kobo's 'question/box', LimeSurvey's 'question[box]'."""
    question = name.rpartition("/")[0]
    return re.search(r"\[[^\]]*\]$", name) is not None or (bool(question) and question in map(str, found.table.columns))


def _names_somebody(last: str) -> bool:
    return last in {plain(name) for name in _IDENTITY}


def _numbers(values: list[str]) -> bool:
    return all(re.fullmatch(r"-?\d{1,12}([.,]\d{1,12})?", value) for value in values)


def _is_free_text(values: list[str], distinct: list[str]) -> bool:
    mean = sum(map(len, values)) / len(values)
    varied = len(distinct) >= _VARIED * len(values) or len(distinct) > FEW_VALUES
    return mean >= _LONG and varied and not _numbers(values)


def _named(values: Sequence[str]) -> str:
    """A few values as they stand in the file, cut."""
    shown = ", ".join(f"'{value[:30]}'" for value in values[:4])
    return shown + (f" and {len(values) - 4} more" if len(values) > 4 else "")


def _plain_line(text: str) -> str:
    """Text that cannot leave the comment in which it stands."""
    return re.sub(r"[\x00-\x1f\x7f]", " ", text)[:300]


def _lines(table: dict[str, Any]) -> list[str]:
    return [
        f"{_quoted(str(key))} = {_quoted(value)}" + ("   # say what it is" if value == UNKNOWN else "")
        for key, value in table.items()
    ]


def _quoted(value: object) -> str:
    """A value as TOML; its basic strings are those of JSON, but for DEL."""
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
