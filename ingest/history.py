"""Years of existing records without MQTT: reads a CSV file as its recipe says and adds it to the archive.

Wall-clock times without offset (`zone = "city"` in the recipe) are read with the city's own rules. The hour that summer
time skips does not exist: rows that claim it are left out and counted. The hour that happens twice is one of three
things: two rows are its first and second occurrence in the order of the file; one row is what the recipe's
`doubled_hour` says. docs/recipes.md has the reasons.

Imported records were received, as far as anyone can tell, when their interval ended: `received` = `time`, so that a
replay of a past night sees them as a live city would have. They carry no sequence number; their key is (site,
quantity, time, duration), and importing a file twice adds nothing; nor does importing what the same site sent live.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from ingest.archive import append_records
from ingest.screening import Screen
from sensors.city import City
from sensors.draft import Say, quiet
from sensors.errors import CityError, RecipeError
from sensors.night import nights_of
from sensors.quantities import QUANTITIES
from sensors.reading import Records, empty_records, sort_by_key
from sensors.recipe import HistoryRecipe, TimeColumn, history_recipe
from sensors.register import SiteRegister
from sensors.tables import column_of, kept_rows, mapped, read_csv, texts_of

_NIGHTS_AT_ONCE = 60  # what one commit of the archive holds: progress every two months of nights
_OFFSET = r"(?:[Zz]|[+-]\d\d:?\d\d)$"

Times = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class History:
    """What a file says, before anyone asks whose sites these are."""

    rows: pd.DataFrame  # device, quantity, time (UTC, end), duration_s, value; in the order of the file
    skipped: Counter[str]  # rows left out, by reason
    attribution: list[str]


@dataclass
class Imported:
    """What became of an import."""

    read: int
    kept: int
    new: int
    flagged: int
    first: str
    last: str
    nights: int
    skipped: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As `noctule history import --json` prints it."""
        return {
            "read": self.read,
            "kept": self.kept,
            "new": self.new,
            "already": self.kept - self.new,
            "flagged": self.flagged,
            "nights": self.nights,
            "first": self.first,
            "last": self.last,
            "skipped": self.skipped,
        }

    def lines(self) -> list[str]:
        """What became of it, for people."""
        known = f", {self.kept - self.new:,} stood already" if self.kept > self.new else ""
        said = [f"{self.new:,} new readings of {self.nights} nights from {self.first} to {self.last}{known}"]
        said += [f"  {count:,} rows left out: {reason}" for reason, count in self.skipped.items()]
        return said + ([f"  {self.flagged:,} readings are doubtful and flagged"] if self.flagged else [])


def import_history(
    city: City,
    file: Path,
    recipe: str,
    *,
    first: date | None = None,
    until: date | None = None,
    say: Say = quiet,
) -> Imported:
    """Add the records of a CSV file to the archive.

    Parameters
    ----------
    recipe : str
        Name of a recipe of kind 'history', or its file.
    first, until : date, optional
        From this night on, and up to this night without it: what is known when the night `until` begins.
    """
    say(f"reading {file}")
    history = read_history(file, recipe, city.zone)
    return keep_history(city, history, file.name, f"{file.name} by {recipe}", first=first, until=until, say=say)


def keep_history(
    city: City,
    history: History,
    name: str,
    source: str,
    *,
    first: date | None = None,
    until: date | None = None,
    say: Say = quiet,
) -> Imported:
    """Screen what a file said and add it to the archive.

    Parameters
    ----------
    name : str
        The file, for people.
    source : str
        Where the records come from, for the archive's manifest.
    first, until : date, optional
        As of `import_history`.
    """
    rows, skipped = within_nights(history.rows, city.zone, first, until), Counter(history.skipped)
    read = len(history.rows) + sum(skipped.values())
    skipped["another night"] += len(history.rows) - len(rows)
    records, unknown = as_records(city, rows)
    for device, count in unknown.items():
        skipped[f"no site of {device} in the register"] += count
    if not len(records):
        said = "; ".join(f"{count:,} rows: {reason}" for reason, count in skipped.items() if count)
        raise RecipeError(f"'{name}' holds no reading for {city.name}: {said}")
    records = sort_by_key(records)
    records["flags"] = Screen().flags(records)
    nights = nights_of(records["time"], city.zone)
    names = np.unique(nights)
    new = 0
    for at in range(0, len(names), _NIGHTS_AT_ONCE):
        batch = names[at : at + _NIGHTS_AT_ONCE]
        begin, end = np.searchsorted(nights, [batch[0], batch[-1] + np.timedelta64(1, "D")])
        new += append_records(city, records[begin:end], source)
        say(f"nights up to {batch[-1]}: {new:,} readings")
    return Imported(
        read=read,
        kept=len(records),
        new=new,
        flagged=int((records["flags"] != 0).sum()),
        first=str(names[0]),
        last=str(names[-1]),
        nights=len(names),
        skipped={reason: count for reason, count in skipped.items() if count},
    )


def read_history(file: Path, recipe: str, zone: ZoneInfo) -> History:
    """The rows of a CSV file as a recipe says; `zone` is the city's, for wall-clock times.

    An empty value is an absent one: it is left out, never zero.
    """
    beside = file.parent / recipe  # a city folder keeps a recipe of its own beside its file
    rules = history_recipe(str(beside) if recipe.endswith(".toml") and not Path(recipe).exists() else recipe)
    where = f"'{file.name}'"
    table = kept_rows(read_csv(file, rules.separator), rules.keep, rules.drop, where).reset_index(drop=True)
    skipped: Counter[str] = Counter()
    values, good = _values(table, rules, where, skipped)
    durations, timed = _durations(table, rules, where, skipped)
    rows = pd.DataFrame(
        {
            "device": mapped(table, rules.device, "str", where),
            "quantity": mapped(table, rules.quantity, "str", where).str.replace("-", "_"),
            "text": texts_of(column_of(table, rules.time.column, where)),
            "duration_s": durations,
            "value": values,
        }
    )[good & timed]
    known = rows["quantity"].isin(list(QUANTITIES))
    for name, count in rows["quantity"][~known].value_counts().items():
        skipped[f"quantity '{name}' is not known"] += int(count)
    rows = _timed(rows[known], rules.time, zone, skipped)
    if not len(rows):
        said = "; ".join(f"{count:,} rows: {reason}" for reason, count in skipped.items())
        raise RecipeError(f"{where}: no row can be used: {said or 'none is left after keep and drop'}")
    return History(rows.reset_index(drop=True), skipped, rules.attribution)


def within_nights(rows: pd.DataFrame, zone: ZoneInfo, first: date | None, until: date | None) -> pd.DataFrame:
    """The rows whose time belongs to the night `first` or a later one, and to one before the night `until`."""
    nights = nights_of(rows["time"].to_numpy().astype("datetime64[ms]"), zone)
    wanted = np.ones(len(rows), bool)
    if first is not None:
        wanted &= nights >= np.datetime64(first)
    if until is not None:
        wanted &= nights < np.datetime64(until)
    return rows[wanted]


def as_records(city: City, rows: pd.DataFrame) -> tuple[Records, dict[str, int]]:
    """Rows as records of the city's sites, unflagged, and how many rows each unknown device had."""
    register = SiteRegister.load(city).table
    if not city.simulated and (register["origin"] == "simulated").any():
        raise CityError(f"{city.name} has simulated sites but is not declared simulated; see 'noctule city check'")
    times = rows["time"].to_numpy().astype("datetime64[ms]")
    sites = np.full(len(rows), -1, np.int64)
    pairs = pd.MultiIndex.from_frame(rows[["device", "quantity"]])
    names = pairs.unique()
    where_of = _by_group(names.get_indexer(pairs), len(names))
    begins, ends = (register[name].to_numpy().astype("datetime64[ms]") for name in ("valid_from", "valid_to"))
    groups_of_sites = names.get_indexer(pd.MultiIndex.from_frame(register[["device", "quantity"]]))
    for site, number, begin, end in zip(register["site"], groups_of_sites, begins, ends, strict=True):
        if number < 0:
            continue
        where = where_of[number]
        valid = (np.isnat(begin) | (times[where] >= begin)) & (np.isnat(end) | (times[where] < end))
        sites[where[valid]] = site
    unknown = {str(device): int(count) for device, count in rows["device"][sites < 0].value_counts().items()}
    records = empty_records(len(rows))
    records["time"] = records["received"] = times
    records["site"] = np.maximum(sites, 0)
    records["quantity"] = rows["quantity"].map({name: entry.code for name, entry in QUANTITIES.items()})
    records["value"] = rows["value"]
    records["duration_s"] = rows["duration_s"]
    return records[sites >= 0], unknown


def _by_group(group: npt.NDArray[np.intp], count: int) -> list[npt.NDArray[np.intp]]:
    """Rows of each group, ascending."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.searchsorted(group[order], np.arange(1, count)))


def _values(
    table: pd.DataFrame, rules: HistoryRecipe, where: str, skipped: Counter[str]
) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """Values, and which rows have one; a dirty file costs its dirty rows, each counted."""
    rule = rules.value
    name = rule if isinstance(rule, str) else rule.column
    texts = texts_of(column_of(table, name, where))
    if not isinstance(rule, str):
        texts = texts.where(~texts.isin([str(value) for value in rule.unknown]), "")
    numbers = pd.to_numeric(texts.where(texts != "", None), errors="coerce").astype(float)
    if not isinstance(rule, str):
        numbers = numbers * rule.scale + rule.offset
    good = pd.Series(np.isfinite(numbers), index=table.index)
    _count(skipped, "no value", texts == "")
    _count_text(skipped, "is not a number", texts, ~good & (texts != ""))
    return numbers, good


def _durations(
    table: pd.DataFrame, rules: HistoryRecipe, where: str, skipped: Counter[str]
) -> tuple[pd.Series[Any], pd.Series[Any]]:
    if not isinstance(rules.duration_s, str):
        return pd.Series(rules.duration_s, index=table.index), pd.Series(True, index=table.index)
    texts = texts_of(column_of(table, rules.duration_s, where))
    numbers = pd.to_numeric(texts.where(texts != "", None), errors="coerce").astype(float)
    good = pd.Series(np.isfinite(numbers) & (numbers >= 0), index=table.index)
    _count_text(skipped, "is not a duration in seconds", texts, ~good)
    return numbers, good


def _timed(rows: pd.DataFrame, rule: TimeColumn, zone: ZoneInfo, skipped: Counter[str]) -> pd.DataFrame:
    """The rows with `time`, the end of the interval in UTC, instead of `text`."""
    if rule.zone == "utc":
        zoned = rows["text"].str.contains(_OFFSET, regex=True).astype(bool)
        _count_text(skipped, "is a time without its zone (Z or an offset)", rows["text"], ~zoned)
        rows = rows[zoned]
        given = pd.to_datetime(rows["text"], format=rule.format or "ISO8601", errors="coerce", utc=True)
        given = given.dt.tz_localize(None)
    else:
        given = pd.to_datetime(rows["text"], format=rule.format or "ISO8601", errors="coerce")
    _count_text(skipped, "is not a time", rows["text"], given.isna())
    rows, given = rows[given.notna()], given[given.notna()].astype("datetime64[ms]")
    spans = pd.to_timedelta(rows["duration_s"], unit="s")
    starts = given if rule.stamp == "start" else given - spans
    if rule.zone == "city":
        rows = rows.assign(start=starts.to_numpy())
        rows = _in_utc(rows, rule.doubled_hour, zone, skipped)
        starts, spans = rows.pop("start"), pd.to_timedelta(rows["duration_s"], unit="s")
    rows = rows.assign(time=(starts + spans).astype("datetime64[ms]")).drop(columns="text")
    twice = rows.duplicated(["device", "quantity", "time", "duration_s"])
    _count(skipped, "the same interval of the same device again", twice)
    return rows[~twice]


def _in_utc(rows: pd.DataFrame, doubled_hour: str, zone: ZoneInfo, skipped: Counter[str]) -> pd.DataFrame:
    """Rows whose wall-clock `start` becomes UTC; hours that do not exist are left out, doubled ones told apart."""
    first, second = (_localized(rows["start"], zone, summer) for summer in (True, False))
    exists = first.notna()
    _count_text(skipped, "is an hour that summer time skips", rows["text"], ~exists)
    rows, first, second = rows[exists], first[exists], second[exists]
    doubled = first != second
    if not doubled.any():
        return rows.assign(start=first)
    occurrence = rows[doubled].groupby(["device", "quantity", "start"]).cumcount().reindex(rows.index, fill_value=0)
    alone = doubled & ~rows.duplicated(["device", "quantity", "start"], keep=False)
    late = (occurrence == 1) | (alone & (doubled_hour == "second"))
    rows = rows.assign(start=first.where(~(doubled & late), second))
    if doubled_hour == "both":
        rows["duration_s"] = rows["duration_s"].where(~alone, rows["duration_s"] * 2)
    out = (doubled & (occurrence > 1)) | (alone & (doubled_hour == "drop"))
    _count_text(skipped, "is an hour that happened twice, and it is not known which", rows["text"], out)
    return rows[~out]


def _localized(starts: pd.Series[Any], zone: ZoneInfo, summer: bool) -> pd.Series[Any]:
    """UTC of wall-clock times; where they happened twice, the one in summer time (the first) or the other."""
    flags = np.full(len(starts), summer)
    local = starts.dt.tz_localize(zone, ambiguous=flags, nonexistent="NaT")
    utc: pd.Series[Any] = local.dt.tz_convert("UTC").dt.tz_localize(None)
    return utc


def _count(skipped: Counter[str], reason: str, rows: pd.Series[Any]) -> None:
    if rows.any():
        skipped[reason] += int(rows.sum())


def _count_text(skipped: Counter[str], reason: str, texts: pd.Series[Any], rows: pd.Series[Any]) -> None:
    """Count rows under a reason that quotes the first of them."""
    if rows.any():
        skipped[f"'{texts[rows].iloc[0]}' {reason}"] += int(rows.sum())
