"""How a night lies in Parquet: its readings, and what was learnt about them later.

    night=YYYY-MM-DD/NNNNNNNN.parquet          RECORD columns and device, sorted by time, zstd
    night=YYYY-MM-DD/NNNNNNNN-merged.parquet   the same of several commits, with the commit of each reading
    night=YYYY-MM-DD/reflags-NNNNNNNN.parquet  REFLAG columns and the reason in words

Times and sequence numbers grow, so their differences are small; bytes of floats compress better apart.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ingest.manifest import StoredFile, settled
from sensors.city import City
from sensors.errors import StoreError
from sensors.reading import NO_SEQ, RECORD, Records

if TYPE_CHECKING:
    import pyarrow

# A later insight about one reading: which reading, and which reason bits it gets or loses, from when on.
REFLAG = np.dtype(
    [
        ("site", "u4"),
        ("boot", "u4"),
        ("seq", "u4"),
        ("part", "u2"),
        ("quantity", "u1"),
        ("time", "datetime64[ms]"),
        ("duration_s", "f4"),
        ("flags_added", "u2"),
        ("flags_removed", "u2"),
        ("dated", "datetime64[ms]"),  # city time at which it was learnt; pages that closed before do not know it
    ]
)
# A reading and the commit that brought it.
COMMITTED = np.dtype([*RECORD.descr, ("commit", "u4")])
Reflags = npt.NDArray[np.void]
Keys = npt.NDArray[np.bytes_]

_NUMBERED = np.dtype([("kind", "u1"), ("site", "u4"), ("boot", "u4"), ("seq", "u4"), ("part", "u2"), ("pad", "V3")])
_PLAIN = np.dtype([("kind", "u1"), ("site", "u4"), ("quantity", "u1"), ("time", "i8"), ("duration_s", "f4")])
assert _NUMBERED.itemsize == _PLAIN.itemsize


class NightWriter:
    """Writes the night files of one commit."""

    def __init__(self, city: City, number: int) -> None:
        self.number = number
        self._shelf = city.shelf("readings")
        self._devices = device_names(city)

    def write(self, night: str, records: Records, upto: dict[str, tuple[int, int]], source: str) -> StoredFile:
        """One file of new readings, on disk under its own name when this returns."""
        name = f"night={night}/{self.number:08d}.parquet"
        return self._write(name, night, self._table(records), upto, source)

    def merge(self, night: str, records: Records, upto: dict[str, tuple[int, int]], source: str) -> StoredFile:
        """One file in place of several; records of COMMITTED."""
        name = f"night={night}/{self.number:08d}-merged.parquet"
        return self._write(name, night, self._table(records), upto, source)

    def reflag(self, night: str, rows: Reflags, reasons: list[str]) -> StoredFile:
        """One file of re-flag rows; `reasons` has a sentence for each."""
        import pyarrow

        table = _columns(rows)
        table["device"] = self._device_column(rows["site"])
        table["reason"] = pyarrow.array(reasons).dictionary_encode()
        name = f"night={night}/reflags-{self.number:08d}.parquet"
        return self._write(name, night, pyarrow.table(table), {}, "reflag")

    def _write(
        self, name: str, night: str, table: pyarrow.Table, upto: dict[str, tuple[int, int]], source: str
    ) -> StoredFile:
        import pyarrow.parquet as parquet

        encoded = {
            "time": "DELTA_BINARY_PACKED",
            "received": "DELTA_BINARY_PACKED",
            "seq": "DELTA_BINARY_PACKED",
            "value": "BYTE_STREAM_SPLIT",
        }

        def write(path: Path) -> None:
            parquet.write_table(
                table,
                path,
                compression="zstd",
                use_dictionary=[column for column in table.column_names if column not in encoded],
                column_encoding={column: how for column, how in encoded.items() if column in table.column_names},
                row_group_size=65_536,
            )

        digest = settled(self._shelf, name, write)
        return StoredFile(name, night, table.num_rows, digest, self.number, dict(upto), source)

    def _table(self, records: Records) -> pyarrow.Table:
        import pyarrow

        columns = _columns(records)
        columns["device"] = self._device_column(records["site"])
        return pyarrow.table(columns)

    def _device_column(self, sites: npt.NDArray[np.uint32]) -> Any:
        import pyarrow

        distinct, codes = np.unique(sites, return_inverse=True)
        devices = [self._devices.get(int(site), "") for site in distinct]
        return pyarrow.DictionaryArray.from_arrays(pyarrow.array(codes.astype(np.int32)), devices)


def device_names(city: City) -> dict[int, str]:
    """Site -> device, of every site that was ever registered; without its geometry, which takes a while to load."""
    import pyarrow.parquet as parquet

    path = city.path / "places" / "sites.parquet"
    try:
        table = parquet.read_table(path, columns=["site", "device"])
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); restore it from a backup") from error
    return dict(zip(table["site"].to_pylist(), table["device"].to_pylist(), strict=True))


@dataclass(frozen=True)
class Wanted:
    """Which readings of a night are meant; None: all.

    quantities, sites : codes and numbers
    between : UTC, begin (exclusive) and end (inclusive) of `time`
    """

    quantities: Collection[int] | None = None
    sites: Collection[int] | None = None
    between: tuple[np.datetime64, np.datetime64] | None = None

    def of(self, records: Records) -> Records:
        """Those of some readings."""
        return records[self.mask(records["quantity"], records["site"], records["time"])]

    def mask(self, quantity: Any, site: Any, time: Any) -> npt.NDArray[np.bool_]:
        """Which rows are meant (one bool each), from three columns of them."""
        meant = np.ones(len(site), bool)
        if self.quantities is not None:
            meant &= np.isin(quantity, list(self.quantities))
        if self.between is not None:
            meant &= (time > self.between[0]) & (time <= self.between[1])
        if self.sites is not None:
            known = np.zeros(int(site.max(initial=0)) + 1, bool)
            numbers = np.array(sorted(self.sites), np.int64)
            known[numbers[numbers < len(known)]] = True
            meant &= known[site]
        return meant


EVERYTHING = Wanted()


def read_records(city: City, file: StoredFile, wanted: Wanted = EVERYTHING) -> Records:
    """The readings of a night file, of some only where those are meant."""
    return _read(city, file, RECORD, wanted)


def read_committed(city: City, file: StoredFile) -> Records:
    """The readings of a night file with the commit that brought each (COMMITTED)."""
    return _read(city, file, COMMITTED)


def read_reflags(city: City, file: StoredFile) -> Reflags:
    """The rows of a re-flag file."""
    return _read(city, file, REFLAG)


def record_keys(rows: npt.NDArray[np.void]) -> Keys:
    """Each reading's or re-flag row's key as bytes: equal where the key of `sensors.reading` is."""
    keys = np.zeros(len(rows), _NUMBERED)
    keys["kind"] = 1
    for name in ("site", "boot", "seq", "part"):
        keys[name] = rows[name]
    plain = np.flatnonzero(rows["seq"] == NO_SEQ)
    found = keys.view(f"S{_NUMBERED.itemsize}")
    if len(plain):
        unnumbered = np.zeros(len(plain), _PLAIN)
        unnumbered["kind"] = 2
        for name in ("site", "quantity", "duration_s"):
            unnumbered[name] = rows[name][plain]
        unnumbered["time"] = rows["time"][plain].astype(np.int64)
        found[plain] = unnumbered.view(found.dtype)
    return found


def apply_reflags(records: Records, rows: Reflags) -> None:
    """Give readings the flags that one re-flag file says, in place; it has one row a reading."""
    about = np.flatnonzero(np.isin(records["site"], np.unique(rows["site"])))
    if not len(about) or not len(rows):
        return
    learnt = record_keys(rows)
    order = np.argsort(learnt)
    learnt = learnt[order]
    keys = record_keys(records[about])
    at = np.minimum(np.searchsorted(learnt, keys), len(learnt) - 1)
    found = np.flatnonzero(learnt[at] == keys)
    row = rows[order[at[found]]]
    about = about[found]
    records["flags"][about] = (records["flags"][about] | row["flags_added"]) & ~row["flags_removed"]


def _columns(rows: npt.NDArray[np.void]) -> dict[str, Any]:
    import pyarrow

    columns: dict[str, Any] = {name: pyarrow.array(np.ascontiguousarray(rows[name])) for name in rows.dtype.names or ()}
    for name, column in columns.items():
        if rows.dtype[name].kind == "M":
            columns[name] = column.cast(pyarrow.timestamp("ms", tz="UTC"))
    return columns


def _read(city: City, file: StoredFile, dtype: np.dtype[np.void], wanted: Wanted = EVERYTHING) -> npt.NDArray[np.void]:
    import pyarrow.parquet as parquet

    # One file is small; a pool of threads would only fight with the mapper's own.
    with city.shelf("readings").joinpath(file.path).open("rb") as source:
        opened = parquet.ParquetFile(source)
        held = set(opened.schema_arrow.names)
        columns = [name for name in dtype.names or () if name in held]
        if wanted == EVERYTHING:
            table = opened.read(columns=columns, use_threads=False)
        else:
            table = _pick(opened, columns, wanted)
    rows = np.empty(table.num_rows, dtype)
    for name in dtype.names or ():
        # Only a merged file says of each reading which commit brought it; of others all came with the file's own.
        rows[name] = table[name].to_numpy() if name in held else file.number
    return rows


def _pick(opened: Any, columns: list[str], wanted: Wanted) -> pyarrow.Table:
    """The rows that are meant: row groups by their times, and the columns that tell before the others."""
    import pyarrow

    groups = _groups_between(opened, wanted.between)
    if not groups:
        return opened.schema_arrow.empty_table().select(columns)
    # Several columns at once: a person waits for these, and nothing else is being computed for them meanwhile.
    telling = ["quantity", "site", "time"]
    told = opened.read_row_groups(groups, columns=telling, use_threads=True)
    meant = pyarrow.array(wanted.mask(*(told[name].to_numpy() for name in telling)))
    rest = [name for name in columns if name not in telling]
    table = opened.read_row_groups(groups, columns=rest, use_threads=True)
    for name in telling:
        table = table.append_column(name, told[name])
    return table.filter(meant).select(columns)


def _groups_between(opened: Any, between: tuple[np.datetime64, np.datetime64] | None) -> list[int]:
    """The row groups that may hold readings of a time; files are in order of it."""
    groups = range(opened.num_row_groups)
    if between is None:
        return list(groups)
    at = opened.schema_arrow.names.index("time")
    found = []
    for group in groups:
        said = opened.metadata.row_group(group).column(at).statistics
        if said is None or not said.has_min_max:
            found.append(group)
            continue
        first, last = (np.datetime64(moment.replace(tzinfo=None), "ms") for moment in (said.min, said.max))
        if last > between[0] and first <= between[1]:
            found.append(group)
    return found
