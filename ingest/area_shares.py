"""Published shares in: of how many respondents of an area, a sex or an age band feel safe, kept beside the answers.

    store/answers/shares/<campaign>.parquet    columns of `sensors.area_share`, one row a share

Columns of a file (others are ignored), as councils publish such tables; a mapping file renames columns and translates
codes as it does for answers:

    group        an area, a sex, an age band or the whole city, as the table spells it
    share        what part feels safe, 0 to 1 or per cent (also read from pct_safe, percent or result)
    year         the survey's
    group_type   which of these it is; told from the words where the column is missing
    n            respondents behind the share; the smallest of its other years stands in where it is empty
    question, light_state, design_effect: optional

The tables of one year count the same respondents in several ways; every row keeps which table it is of.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ingest.lock import shelf_lock
from ingest.survey_file import left_out
from ingest.surveys import (
    CAMPAIGN,
    LOCK_WAIT_S,
    Mapping,
    campaigns,
    load_table,
    looks_like_identity,
    read_mapping,
    text_of,
    write_table,
)
from sensors.area_share import ALL, PARTITIONS, SHARE_COLUMNS, area_key, empty_shares, postcodes
from sensors.city import City
from sensors.clock import city_clock
from sensors.errors import AnswerError, StoreError, gather

FEWEST = 10  # a published share of fewer people says something of each of them
QUESTION = "feels-safe"  # where the file does not name what was asked
_KEY = ["question", "light_state", "year", "partition", "code"]
_NAMES: dict[str, tuple[str, ...]] = {  # ours -> how such tables call it, most particular first
    "group": ("group", "respondent_group", "area", "suburb", "district", "neighbourhood", "quartier"),
    "share": ("share", "pct_safe", "percent_safe", "share_safe", "result", "percent", "pct"),
    "year": ("year", "annee", "année", "jahr"),
    "group_type": ("group_type", "partition"),
    "n": ("n", "sample_size", "respondents", "base"),
    "question": ("question", "description", "item", "indicator"),
    "light_state": ("light_state",),
    "design_effect": ("design_effect", "deff"),
}
_NEEDED = ("group", "share", "year")
_ABSENT = {
    "group_type": "not in the file: told from the words of the group",
    "n": "not in the file: no share can be used without it",
    "question": f"not in the file: '{QUESTION}'",
    "light_state": "not in the file: told from the question",
    "design_effect": "not in the file: the one of the import",
}
_KINDS = {
    "area": ("area", "suburb", "district", "neighbourhood", "neighborhood", "small area", "quartier"),
    "gender": ("gender", "sex", "genre", "sexe"),
    "age_band": ("age", "age_band", "age group", "age band", "âge"),
    ALL: ("all", "city", "total", "municipality", "ville", "overall"),
}
_SEXES = {
    "woman": ("woman", "women", "female", "females", "f", "femme", "femmes"),
    "man": ("man", "men", "male", "males", "m", "homme", "hommes"),
    "another": ("another", "other", "non-binary", "autre", "self-described"),
    "undisclosed": ("undisclosed", "prefer not to say", "unknown"),
}


@dataclass
class ShareReport:
    """What became of a file of shares."""

    file: str
    rows: int
    accepted: int = 0
    known: int = 0
    problems: list[str] = field(default_factory=list)
    wrong_rows: int = 0
    columns: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    spellings: list[str] = field(default_factory=list)  # areas that are spelt in several ways
    tables: dict[str, int] = field(default_factory=dict)  # question and table -> rows
    without_n: int = 0
    campaign: str = ""
    origin: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it with --json."""
        return {
            "kind": "shares",
            "file": self.file,
            "rows": self.rows,
            "accepted": self.accepted,
            "already_known": self.known,
            "quarantined": self.wrong_rows,
            "problems": self.problems,
            "columns": self.columns,
            "ignored_columns": self.ignored,
            "spellings": self.spellings,
            "tables": self.tables,
            "without_n": self.without_n,
            "campaign": self.campaign,
            "origin": self.origin,
        }

    def text(self) -> str:
        """For people: what was taken, what was left out and why."""
        lines = [f"{self.file}: {self.rows} rows, {self.accepted} published shares"]
        if self.known:
            lines[0] += f", {self.known} of them known already"
        lines += [f"  {ours}: {what}" for ours, what in self.columns.items() if what != "read"]
        if self.ignored:
            lines.append(f"  not read: {', '.join(self.ignored)}")
        lines += [f"  {table}: {rows} shares" for table, rows in self.tables.items()]
        if len(self.tables) > 1:
            lines.append("  tables of one question and year are of the same respondents: each of them counts once")
        lines += [f"  {spelling}" for spelling in self.spellings]
        if self.without_n:
            lines.append(
                f"  {self.without_n} shares have no number of respondents: the smallest of other years is taken"
            )
        return "\n".join(lines + left_out(self.wrong_rows, "rows", self.problems))


def holds_shares(file: Path, mapping: Path | None = None) -> bool:
    """Whether a file is a table of published shares and not of single answers."""
    renamed = read_mapping(mapping).columns
    names = {str(name).strip().lower() for name in load_table(file, rows=1).columns}
    found = {ours for ours in _NAMES if _found(ours, names, renamed)}
    single = {renamed.get(name, name).strip().lower() for name in ("category", "response_id")} & names
    return set(_NEEDED) <= found and not single


def check_shares(
    file: Path, *, mapping: Path | None = None, city: City | None = None, design_effect: float = 1.0
) -> ShareReport:
    """Read a file of shares as an import would and say what would become of it; nothing is kept."""
    return _read(file, read_mapping(mapping), city, design_effect)[0]


def import_shares(
    city: City,
    file: Path,
    *,
    campaign: str = "",
    simulated: bool = False,
    mapping: Path | None = None,
    design_effect: float = 1.0,
) -> ShareReport:
    """Take a file of shares into the city as a campaign; the same file twice changes nothing.

    design_effect : how many times the variance of a simple sample, where the file does not say; weighted surveys have
    1.2 to 2
    """
    name = campaign or re.sub(r"[^a-z0-9]+", "-", file.name.split(".")[0].lower()).strip("-")
    if not CAMPAIGN.fullmatch(name):
        raise AnswerError(f"campaign '{name}' must be lower-case letters, digits and single hyphens")
    if name in campaigns(city):
        raise AnswerError(f"campaign '{name}' holds single answers; choose another id for the shares")
    if simulated and not city.simulated:
        raise AnswerError(f"{city.name} is not declared simulated and takes no simulated shares")
    report, table = _read(file, read_mapping(mapping), city, design_effect)
    report.campaign, report.origin = name, "simulated" if simulated else "recorded"
    if not len(table):
        raise AnswerError(
            gather(f"{file.name} holds no share that can be taken", report.problems or ["it has no rows"])
        )
    table = table.assign(campaign=name, origin=report.origin)[list(SHARE_COLUMNS)].astype(SHARE_COLUMNS)
    shelf = city.shelf("answers") / "shares"
    shelf.mkdir(parents=True, exist_ok=True)
    with shelf_lock(city.shelf("answers"), "noctule survey import", wait_s=LOCK_WAIT_S):
        kept = shares(city)
        together = pd.concat([kept, table], ignore_index=True)  # one spelling in all files
        report.spellings = _one_spelling(together)
        kept, table = together.iloc[: len(kept)], together.iloc[len(kept) :]
        _refuse_others(table, kept[kept["campaign"] != name])
        before = kept[kept["campaign"] == name]
        both = table.merge(before, on=_KEY, suffixes=("", "_kept"))
        other = both[(both["share"] != both["share_kept"]) | (both["n"] != both["n_kept"])]
        if len(other):
            row: Any = other.iloc[0]
            raise AnswerError(
                f"campaign '{name}' holds {row.share_kept:.1%} of {row.n_kept} for '{row.words}' in {row.year}, the "
                f"file says {row.share:.1%} of {row.n}; remove the campaign before the corrected file is imported"
            )
        report.known = len(both)
        fresh = table.merge(before[_KEY], on=_KEY, how="left", indicator=True)
        fresh = fresh[fresh["_merge"] == "left_only"][list(SHARE_COLUMNS)]
        if len(fresh):
            whole = pd.concat([before, fresh], ignore_index=True).astype(SHARE_COLUMNS)
            write_table(shelf / f"{name}.parquet", whole.sort_values(_KEY, kind="stable", ignore_index=True))
    return report


def remove_shares(city: City, *, campaign: str) -> int:
    """Erase a campaign of shares; how many went."""
    stored = city.shelf("answers") / "shares" / f"{campaign}.parquet"
    if not CAMPAIGN.fullmatch(campaign) or not stored.is_file():
        known = ", ".join(share_campaigns(city)) or "none"
        raise AnswerError(f"there is no campaign of shares '{campaign}'; expected one of {known}")
    with shelf_lock(city.shelf("answers"), "noctule survey remove", wait_s=LOCK_WAIT_S):
        gone = len(pd.read_parquet(stored))
        stored.unlink()
    return gone


def share_campaigns(city: City) -> list[str]:
    """Ids of the campaigns whose shares are kept."""
    return sorted(path.stem for path in (city.shelf("answers") / "shares").glob("*.parquet"))


def shares(city: City) -> pd.DataFrame:
    """All published shares as they are kept, columns of `sensors.area_share`."""
    folder = city.shelf("answers") / "shares"
    frames = [pd.read_parquet(file) for file in sorted(folder.glob("*.parquet"))]
    table = pd.concat(frames, ignore_index=True) if frames else empty_shares()
    missing = [name for name in SHARE_COLUMNS if name not in table]
    if missing:
        raise StoreError(f"{folder} lacks {', '.join(missing)}; import the shares again")
    kept: pd.DataFrame = table[list(SHARE_COLUMNS)].astype(SHARE_COLUMNS)
    _one_spelling(kept)
    return kept


def _found(ours: str, names: set[str], renamed: dict[str, str]) -> str | None:
    wanted = (renamed[ours].strip().lower(),) if ours in renamed else _NAMES[ours]
    return next((name for name in wanted if name in names), None)


def _read(file: Path, mapping: Mapping, city: City | None, design_effect: float) -> tuple[ShareReport, pd.DataFrame]:
    """The report and the good rows; every wrong row has its reasons in the report."""
    if not 1.0 <= design_effect <= 10.0:
        raise AnswerError(f"a design effect of {design_effect:g} is not between 1 and 10")
    raw = load_table(file)
    table, report = _renamed(raw, file, mapping)
    if mapping.codes.get("question"):
        asked = {str(theirs).strip().casefold(): str(ours) for theirs, ours in mapping.codes["question"].items()}
        wanted = table["question"].str.casefold().isin(asked).to_numpy()
        report.columns["question"] = f"{int(wanted.sum())} of {len(table)} rows are of the questions of the mapping"
        table = table[wanted].copy()
        table["question"] = [asked[words.casefold()] for words in table["question"]]
    for name in set(mapping.codes) - {"question"}:
        if name not in table:
            raise AnswerError(f"the mapping translates codes of '{name}', which is none of {', '.join(_NAMES)}")
        words = {str(theirs).strip().casefold(): str(ours) for theirs, ours in mapping.codes[name].items()}
        table[name] = [words.get(value.casefold(), value) for value in table[name]]
    numbers = table.index.to_numpy() + 2  # as a spreadsheet shows them: the header is row 1
    table = table.reset_index(drop=True)
    wrong: dict[int, list[str]] = {}
    percent = _in_percent(table["share"], report.columns["share"])
    unit = "per cent" if percent else "parts of 1"
    report.columns["share"] += f", {unit}"
    every: list[Any] = list(table.itertuples(index=False))
    for index, row in enumerate(every):
        wrong_here = _problems_of(row, percent, city)
        if wrong_here:
            wrong[index] = wrong_here
    good = table[~table.index.isin(wrong)].copy()
    good = _typed(good, percent, city, design_effect)
    report.spellings = _one_spelling(good)
    twice = good.duplicated(_KEY, keep="first")
    for index in good.index[twice]:
        double: Any = good.loc[index]
        wrong[int(index)] = [f"group '{double.words}' of {double.year} stands in the file twice; the first one counts"]
    good = good[~twice]
    report.problems = [f"row {numbers[index]}: {reason}" for index in sorted(wrong) for reason in wrong[index]]
    report.wrong_rows, report.accepted = len(wrong), len(good)
    report.without_n = int((good["n"] == 0).sum())
    named = good["question"] + " (" + good["light_state"] + "), " + good["partition"]
    report.tables = {str(name): int(rows) for name, rows in named.value_counts().sort_index().items()}
    return report, good.reset_index(drop=True)


def _renamed(raw: pd.DataFrame, file: Path, mapping: Mapping) -> tuple[pd.DataFrame, ShareReport]:
    alien = set(mapping.columns) - set(_NAMES)
    if alien:
        raise AnswerError(f"the mapping names {', '.join(sorted(alien))}; columns of shares are {', '.join(_NAMES)}")
    theirs = {name.strip().lower(): name for name in map(str, raw.columns)}
    report = ShareReport(file.name, len(raw))
    table = pd.DataFrame(index=pd.RangeIndex(len(raw)))
    missing, used = [], set()
    for ours in _NAMES:
        found = _found(ours, set(theirs), mapping.columns)
        if found is None:
            if ours in _NEEDED or ours in mapping.columns:
                missing.append(f"column '{mapping.columns.get(ours, ours)}' ({ours}) is missing")
            report.columns[ours] = _ABSENT.get(ours, "missing")
            table[ours] = ""
            continue
        used.add(found)
        report.columns[ours] = "read" if found == ours else f"read from '{theirs[found]}'"
        table[ours] = raw[theirs[found]].map(text_of).to_numpy(dtype=object)
    if missing:
        raise AnswerError(gather(f"{file.name} cannot be imported", [*missing, f"it has {', '.join(theirs.values())}"]))
    report.ignored = [original for lower, original in theirs.items() if lower not in used]
    report.columns |= {
        name: "looks like identity and is not read" for name in report.ignored if looks_like_identity(name)
    }
    return table, report


def _in_percent(shares: pd.Series[str], told: str) -> bool:
    """Whether shares stand in per cent: one above 1 says so, or the name of their column."""
    values = pd.to_numeric(shares.str.rstrip("% ").str.strip(), errors="coerce").to_numpy(np.float64)
    return bool((values > 1).any() or "pct" in told or "percent" in told or shares.str.endswith("%").any())


def _problems_of(row: Any, percent: bool, city: City | None) -> list[str]:
    """What is wrong with one row."""
    problems = []
    share = _number(row.share.rstrip("% "))
    most = 100.0 if percent else 1.0
    if share is None or not 0.0 <= share <= most:
        problems.append(f"share '{row.share}' must be a number from 0 to {most:g}")
    if not re.fullmatch(r"(19|20)\d\d", row.year):
        problems.append(f"year '{row.year}' must be one year like 2023")
    elif city is not None and int(row.year) > int(str(city_clock(city.path).now())[:4]):
        problems.append(f"year {row.year} has not come yet")
    if row.n != "":
        n = _number(row.n.replace(",", ""))
        if n is None or n != int(n) or n < 1:
            problems.append(f"n '{row.n}' must be a whole number of respondents, or empty where it is not known")
        elif n < FEWEST:
            problems.append(f"n {int(n)} is fewer than the {FEWEST} people that a share may be of")
    effect = _number(row.design_effect or "1")
    if effect is None or not 1.0 <= effect <= 10.0:
        problems.append(f"design_effect '{row.design_effect}' must be from 1 to 10")
    if not row.group:
        problems.append("group is empty")
    else:
        partition = _partition(row, city)
        if partition is None:
            kinds = ", ".join(name for names in _KINDS.values() for name in names[:2])
            problems.append(f"group_type '{row.group_type}' is not known; expected one of {kinds}")
        elif _code(partition, row.group) is None:
            problems.append(f"group '{row.group}' cannot be read as {'a sex' if partition == 'gender' else partition}")
    if _light(row) is None:
        problems.append(
            f"question '{row.question}' does not say whether it is of the night or the day; add a column light_state "
            f"with dark or day"
        )
    return problems


def _typed(table: pd.DataFrame, percent: bool, city: City | None, design_effect: float) -> pd.DataFrame:
    """Good rows in the columns of `sensors.area_share`."""
    rows: list[Any] = list(table.itertuples(index=False))
    parts = [_partition(row, city) or "area" for row in rows]
    scale = 100.0 if percent else 1.0
    columns = {
        "question": [row.question or QUESTION for row in rows],
        "light_state": [_light(row) or "dark" for row in rows],
        "year": [int(row.year) for row in rows],
        "partition": parts,
        "code": [_code(part, row.group) or "" for part, row in zip(parts, rows, strict=True)],
        "words": [row.group for row in rows],
        "share": [round(float(row.share.rstrip("% ")) / scale, 6) for row in rows],
        "n": [int(float(row.n.replace(",", ""))) if row.n else 0 for row in rows],
        "design_effect": [float(row.design_effect or design_effect) for row in rows],
    }
    return pd.DataFrame(columns, index=table.index)


def _one_spelling(table: pd.DataFrame) -> list[str]:
    """Give areas that are the same one code, in place; the sentences that say which were joined.

    The same names in any order are the same area. So are areas of the same postcodes, if the names of one are among
    those of the other ('Melbourne 3000' and 'Melbourne CBD 3000').
    """
    area = (table["partition"] == "area").to_numpy()
    words = sorted(set(table["words"][area]))
    codes = {word: area_key(word) for word in words}
    for word in words:
        for other in words:
            same = postcodes(word) and postcodes(word) == postcodes(other)
            if same and codes[word] != codes[other] and _among(codes[word], codes[other]):
                codes[other] = codes[word]
    table.loc[area, "code"] = [codes[word] for word in table["words"][area]]
    by_code: dict[str, list[str]] = {}
    for word in words:
        by_code.setdefault(codes[word], []).append(word)
    return [
        f"{', '.join(repr(spelling) for spelling in spellings)} are taken as one area"
        for spellings in by_code.values()
        if len(spellings) > 1
    ]


def _among(names: str, others: str) -> bool:
    return set(names.replace(" + ", " ").split()) <= set(others.replace(" + ", " ").split())


def _partition(row: Any, city: City | None) -> str | None:
    said = row.group_type.strip().casefold()
    if said:
        return next((ours for ours in PARTITIONS if said == ours or said in _KINDS[ours]), None)
    words = row.group.strip().casefold()
    if any(words in names for names in _SEXES.values()):
        return "gender"
    if re.match(r"(aged )?\d{1,2}\s*(-|–|to|à|\+|and|plus|years)", words):
        return "age_band"
    names = {"city", "total", "all", "all respondents", "ensemble"}
    if city is not None:
        names |= {city.name.casefold(), f"city of {city.name.casefold()}"}
    return ALL if words in names or words.startswith("city of ") else "area"


def _code(partition: str, words: str) -> str | None:
    plain = words.strip().casefold()
    if partition == ALL:
        return ALL
    if partition == "area":
        return area_key(words) or None
    if partition == "gender":
        return next((ours for ours, names in _SEXES.items() if plain in names), None)
    ages = re.findall(r"\d{1,3}", plain)
    if len(ages) == 2 and int(ages[0]) < int(ages[1]):
        return f"{ages[0]}-{ages[1]}"
    return f"{ages[0]}+" if len(ages) == 1 and re.search(r"\+|over|more|plus|above", plain) else None


def _light(row: Any) -> str | None:
    said = row.light_state.strip().casefold()
    if said:
        return said if said in ("dark", "day") else None
    words = row.question.casefold()
    dark = re.search(r"night|dark|nuit|nacht|evening", words) is not None
    day = re.search(r"day(?!s)|daylight|jour", words) is not None
    return ("dark" if dark else "day") if dark != day else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _refuse_others(table: pd.DataFrame, kept: pd.DataFrame) -> None:
    """Two campaigns may not hold the same share: its respondents would count twice."""
    both = table.merge(kept, on=_KEY, suffixes=("", "_kept"))
    if len(both):
        row: Any = both.iloc[0]
        raise AnswerError(
            f"{len(both)} of these shares are in campaign '{row.campaign_kept}' already, '{row.words}' of {row.year} "
            f"among them; their respondents would count twice: remove that campaign first"
        )
