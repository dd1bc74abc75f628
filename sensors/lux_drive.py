"""A lux drive: a CSV of places and lux, as loggers and councils write them, read to cells of the city.

Columns are found by their usual names or named by the user; anything else in the file is not read. A wrong row is left
out and counted by its reason; a file without what is needed is refused with a sentence. Read in chunks, so that ten
million rows pass in bounded memory.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from sensors.city import City
from sensors.clock import city_clock
from sensors.errors import LayerError
from sensors.light_survey import MOST_LUX, SurveyReport, Terms, by_cell, checked_terms
from sensors.night import night_of, parse_rfc3339, sun_elevation

NAMES = {
    "lon": ("lon", "longitude", "lng", "long"),
    "lat": ("lat", "latitude"),
    "easting": ("easting", "east", "x"),
    "northing": ("northing", "north", "y"),
    "lux": ("lux", "illuminance", "illuminance_lx", "lx", "e_lux", "value"),
    "time": ("time", "timestamp", "datetime", "date_time", "survey_date", "date"),
    "at_least": ("at_least", "saturated", "clipped"),
}
MOST_ROWS = 20_000_000
_CHUNK = 500_000
_NIGHTFALL_DEG = -6.0  # above, the sky outshines street lamps (sensing.md A6)
_DATE_ONLY_AT = "22:00"  # local, of a row that has a date and no time: dark nearly everywhere, and before most dimming
_EARLIEST = np.datetime64("1990-01-01", "ms")
_TRUE = ("true", "1", "yes", "y", "t")


def read_lux_drive(
    file: Path,
    city: City,
    terms: Terms,
    *,
    columns: Mapping[str, str] | None = None,
    when: str = "",
    crs: str = "",
) -> tuple[Terms, pd.DataFrame, SurveyReport]:
    """Read a lux drive: the terms with what came of the file, its cells (SURVEY_COLUMNS), and a report.

    Parameters
    ----------
    columns : ours -> the file's, where its names are not the usual ones (NAMES)
    when : date (2014-09-16) or local moment (2014-09-16T22:30) of a file without times
    crs : projection of easting and northing; the city's own without it
    """
    terms = checked_terms(terms, city)
    report = SurveyReport(str(file), survey=terms.survey)
    text, digest = _opened(file)
    with text:
        found, separator, header = _header(text, file, columns or {})
        report.columns = dict(found)
        report.ignored = [name for name in header if name not in found.values()]
        fixed = moment_of(when, city.zone) if when else None
        if "time" not in found and fixed is None:
            raise LayerError(f"{file} has no column of times; state the night with --when, like --when 2014-09-16")
        reader = _Reader(file, city, terms, found, fixed, crs or city.crs, report)
        for chunk in _chunks(text, file, separator, found):
            reader.take(chunk)
    cells = reader.cells()
    return reader.described(digest), cells, report


class _Reader:
    """Takes chunks of text columns and keeps what is good of them."""

    def __init__(
        self,
        file: Path,
        city: City,
        terms: Terms,
        found: Mapping[str, str],
        fixed: np.datetime64 | None,
        crs: str,
        report: SurveyReport,
    ) -> None:
        from pyproj import Transformer
        from pyproj.exceptions import CRSError

        self.file, self.city, self.terms, self.found, self.fixed, self.report = file, city, terms, found, fixed, report
        self.degrees = "lon" in found
        try:
            source = "EPSG:4326" if self.degrees else crs
            self.to_city = Transformer.from_crs(source, city.crs, always_xy=True)
        except CRSError as error:
            raise LayerError(f"projection '{crs}' is not known ({error})") from error
        self.now = city_clock(city.path).now()
        self.left: Counter[str] = Counter()
        self.swapped = 0
        self.kept: list[tuple[npt.NDArray[Any], ...]] = []
        self._moments: dict[str, np.datetime64] = {}

    def take(self, chunk: pd.DataFrame) -> None:
        self.report.rows += len(chunk)
        if self.report.rows > MOST_ROWS:
            raise LayerError(f"{self.file} has more than {MOST_ROWS:,} rows; split it into surveys by area or by night")
        east_name, north_name = ("lon", "lat") if self.degrees else ("easting", "northing")
        first, second = _numbers(chunk[self.found[east_name]]), _numbers(chunk[self.found[north_name]])
        lux = _numbers(chunk[self.found["lux"]])
        time = self._times(chunk)
        good = np.ones(len(chunk), bool)
        good = self._drop(good, ~np.isfinite(lux), "lux is no number")
        good = self._drop(good, good & (lux < 0), "lux below 0")
        good = self._drop(good, good & (lux > MOST_LUX), f"lux above {MOST_LUX:g}, which no street has by night")
        good = self._drop(good, ~(np.isfinite(first) & np.isfinite(second)), "position is no number")
        if self.degrees:
            good = self._drop(
                good, good & ((np.abs(first) > 180) | (np.abs(second) > 90)), "position is not on the globe"
            )
            good = self._drop(good, good & (first == 0) & (second == 0), "position 0, 0: the receiver had no fix")
        east, north = np.full(len(chunk), np.nan), np.full(len(chunk), np.nan)
        east[good], north[good] = self.to_city.transform(first[good], second[good])
        outside = ~self._inside(east, north)
        if self.degrees and (good & outside).any():
            turned = good & outside & (np.abs(first) <= 90)
            self.swapped += int(self._inside(*self.to_city.transform(second[turned], first[turned])).sum())
        good = self._drop(good, good & outside, "outside the city's grid")
        good = self._drop(good, good & np.isnat(time), "time cannot be read")
        good = self._drop(good, good & (time < _EARLIEST), "time is before 1990")
        good = self._drop(good, good & (time > self.now), "time has not come yet")
        good = self._drop(good, good & ~self._dark(time, good), "the sun was not 6 degrees down")
        clipped = np.zeros(len(chunk), bool)
        if "at_least" in self.found:
            clipped = chunk[self.found["at_least"]].fillna("").str.strip().str.lower().isin(_TRUE).to_numpy(bool)
        if self.terms.clip_lux > 0:
            clipped = clipped | (lux >= 0.999 * self.terms.clip_lux)
        again = np.zeros(len(chunk), bool)
        if "time" in self.found:  # without times a standing car says the same again, rightly
            again[1:] = (first[1:] == first[:-1]) & (second[1:] == second[:-1]) & (lux[1:] == lux[:-1])
            again[1:] &= time[1:] == time[:-1]
            again &= chunk[self.found["time"]].str.len().fillna(0).to_numpy() > 10  # of a date alone all are the same
        good = self._drop(good, good & again, "the row before, once more")
        if good.any():
            self.kept.append((east[good], north[good], time[good], lux[good].astype(np.float32), clipped[good]))

    def cells(self) -> pd.DataFrame:
        """What was kept, by cell; LayerError when nothing was."""
        self.report.left_out = dict(self.left.most_common())
        if not self.kept:
            why = "; ".join(f"{count} rows: {reason}" for reason, count in self.left.most_common(4)) or "it has no rows"
            hint = ""
            if self.swapped:
                hint = "; longitude and latitude seem to be exchanged: name them with --columns lon=...,lat=..."
            raise LayerError(f"{self.file} has no reading that can be taken ({why}){hint}")
        east, north, time, lux, clipped = (np.concatenate(parts) for parts in zip(*self.kept, strict=True))
        self.kept = []
        table = by_cell(self.city, east, north, time, lux.astype(np.float64), clipped)
        report = self.report
        report.readings, report.cells, report.at_least = east.size, len(table), int(table["at_least"].sum())
        low, middle, high = np.quantile(table["lux"], (0.05, 0.5, 0.95))
        report.quantiles = (float(low), float(middle), float(high))
        report.nights = (
            night_of(time.min(), self.city.zone).name,
            night_of(time.max(), self.city.zone).name,
        )
        if not self.terms.clip_lux and (share := float(np.mean(lux == lux.max()))) > 0.005 and lux.size > 100:
            report.notes.append(
                f"{share:.1%} of the readings are exactly {lux.max():g} lx, the highest: if the instrument ends there, "
                f"say --clip {lux.max():g}"
            )
        return table

    def described(self, digest: str) -> Terms:
        """The terms with what came of the file."""
        import msgspec

        first, last = self.report.nights
        return msgspec.structs.replace(
            self.terms,
            crs=self.city.crs,
            cell_m=self.city.settings.grid.cell_m,
            readings=self.report.readings,
            first=first,
            last=last,
            digest=digest,
        )

    def _drop(self, good: npt.NDArray[np.bool_], bad: npt.NDArray[np.bool_], reason: str) -> npt.NDArray[np.bool_]:
        count = int((good & bad).sum())
        if count:
            self.left[reason] += count
        return good & ~bad

    def _inside(self, east: npt.NDArray[np.float64], north: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        grid = self.city.settings.grid
        inside: npt.NDArray[np.bool_] = (east >= grid.west) & (east < grid.east)
        return inside & (north >= grid.south) & (north < grid.north)

    def _times(self, chunk: pd.DataFrame) -> npt.NDArray[np.datetime64]:
        if "time" not in self.found:
            return np.full(len(chunk), self.fixed, "datetime64[ms]")
        texts = chunk[self.found["time"]].fillna("").str.strip()
        codes, distinct = pd.factorize(texts)
        moments = np.array([self._moment(str(text)) for text in distinct], "datetime64[ms]")
        return moments[codes]

    def _moment(self, text: str) -> np.datetime64:
        if text not in self._moments:
            if len(self._moments) > 1_000_000:
                self._moments.clear()
            try:
                self._moments[text] = moment_of(text, self.city.zone)
            except LayerError:
                self._moments[text] = np.datetime64("NaT", "ms")
        return self._moments[text]

    def _dark(self, time: npt.NDArray[np.datetime64], good: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        dark = np.ones(time.size, bool)
        if good.any():
            quarters, place = np.unique(time[good].astype(np.int64) // 300_000, return_inverse=True)
            longitude, latitude = self.city.centre_lonlat()
            moments = (quarters * 300_000).astype("datetime64[ms]")
            dark[good] = (sun_elevation(moments, latitude, longitude) <= _NIGHTFALL_DEG)[place]
        return dark


def _opened(file: Path) -> tuple[io.TextIOBase, str]:
    """The file as text, whatever wrote it, and the digest of its bytes."""
    if not file.is_file():
        raise LayerError(f"there is no file '{file}'")
    try:
        with open(file, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        hasher = hashlib.sha256()
        sample, valid = b"", True
        import codecs

        decoder = codecs.getincrementaldecoder("utf-8")()
        with gzip.open(file, "rb") if packed else open(file, "rb") as content:
            while block := content.read(1 << 20):
                hasher.update(block)
                sample = sample or block[:4]
                if valid:
                    try:
                        decoder.decode(block)
                    except UnicodeDecodeError:
                        valid = False
        if not sample:
            raise LayerError(f"{file} is empty")
        wide = sample.startswith((b"\xff\xfe", b"\xfe\xff"))
        encoding = "utf-16" if wide else "utf-8-sig" if valid else "cp1252"
        stream = gzip.open(file, "rb") if packed else open(file, "rb")  # noqa: SIM115  # the caller closes it
        text = io.TextIOWrapper(stream, encoding, errors="replace", newline=None)  # \r alone ends a line too
    except (OSError, EOFError, gzip.BadGzipFile) as error:
        raise LayerError(f"{file} cannot be read ({error})") from error
    return text, hasher.hexdigest()[:16]


def _header(text: io.TextIOBase, file: Path, columns: Mapping[str, str]) -> tuple[dict[str, str], str, list[str]]:
    """Which of the file's columns are ours, what separates them, and all their names; the text is at its first row."""
    line = text.readline(100_000)
    while line and not line.strip():
        line = text.readline(100_000)
    if "\x00" in line:
        raise LayerError(f"{file} is not a text table (it holds zero bytes)")
    separator = max(";\t,|", key=line.count)
    header = [name.strip().strip("\ufeff") for name in next(csv.reader([line.strip("\r\n")], delimiter=separator), [])]
    if len(set(header)) != len(header):
        raise LayerError(f"{file} has two columns of one name ({', '.join(header[:12])})")
    unknown = [ours for ours in columns if ours not in NAMES]
    if unknown:
        raise LayerError(f"--columns names '{unknown[0]}'; ours are {', '.join(NAMES)}")
    found: dict[str, str] = {}
    lower = {name.lower(): name for name in header}
    for ours, usual in NAMES.items():
        if ours in columns:
            if columns[ours] not in header:
                raise LayerError(f"{file} has no column '{columns[ours]}'; it has {', '.join(header[:20])}")
            found[ours] = columns[ours]
        elif name := next((lower[word] for word in usual if word in lower), ""):
            found[ours] = name
    metric = {"easting", "northing"} <= found.keys() and not {"lon", "lat"} <= set(columns)
    degrees = {"lon", "lat"} <= found.keys()
    if "lux" not in found or not (metric or degrees):
        raise LayerError(
            f"{file} needs a column lux and columns lon, lat or easting, northing; it has {', '.join(header[:20])}; "
            "name them with --columns, like --columns lux=E_h,lon=X,lat=Y"
        )
    for name in ("easting", "northing") if degrees else ("lon", "lat"):
        found.pop(name, None)
    return found, separator, header


def _chunks(text: io.TextIOBase, file: Path, separator: str, found: Mapping[str, str]) -> Iterator[pd.DataFrame]:
    """Our columns as text; a row with more columns than the header is read by its first ones."""
    text.seek(0)
    try:
        reader = pd.read_csv(
            text,
            sep=separator,
            dtype=str,
            usecols=lambda name: name.strip().strip("\ufeff") in found.values(),
            index_col=False,  # else a comma at the end of each row would move all columns
            chunksize=_CHUNK,
            keep_default_na=False,
            na_values=[""],
        )
        for chunk in reader:
            chunk.columns = chunk.columns.str.strip().str.strip("\ufeff")
            yield chunk
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, OSError, EOFError) as error:
        raise LayerError(f"{file} cannot be read as CSV ({str(error).splitlines()[0]})") from error


def _numbers(values: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """Numbers with a point or a decimal comma; NaN for all else."""
    numbers = pd.to_numeric(values, errors="coerce")
    odd = numbers.isna() & values.notna()
    if odd.any():
        texts = values[odd].str.strip().str.replace(",", ".", regex=False)
        numbers = numbers.astype(float)
        numbers[odd] = pd.to_numeric(texts, errors="coerce").astype(float)
    return numbers.to_numpy(np.float64, na_value=np.nan)


def moment_of(text: str, zone: ZoneInfo) -> np.datetime64:
    """A moment in UTC: with its zone as it is, else the city's local time; a date alone is its late evening."""
    from datetime import datetime

    try:
        return parse_rfc3339(text)
    except ValueError:
        pass
    try:
        local = datetime.fromisoformat(f"{text}T{_DATE_ONLY_AT}" if len(text) <= 10 else text)
    except ValueError:
        raise LayerError(f"'{text[:40]}' is no date like 2014-09-16 and no time like 2014-09-16T22:30") from None
    moment = local.replace(tzinfo=zone) if local.tzinfo is None else local
    return np.datetime64(int(moment.timestamp() * 1000), "ms")
