"""The archive: every reading once, by night; and whoever follows it reads nothing else.

    store/readings/manifest.json      what belongs to the archive, and how far of the log it holds
    store/readings/night=YYYY-MM-DD/  its readings, and what was learnt about them later (`night_files`)
    store/readings/gaps-*.parquet     what never came, and what contradicts itself (`ledger`)

A compaction writes new files beside, syncs and renames them, and then replaces the manifest: that is the commit. What
the log holds beyond the manifest's positions is read from the log's tail, so a reading is visible as soon as it is
flagged, a moment after its group is on disk. Nothing that is stored is ever changed: what is learnt later is a dated
re-flag row, which pages that close after its date know of and earlier ones do not.

A reading belongs to the night of its `time`, or of `received` where its clock cannot be right.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from ingest.ledger import Ledger, Senders, read_ledger, write_ledger
from ingest.lock import shelf_lock
from ingest.log import Position
from ingest.manifest import Manifest, StoredFile, commit, tidied
from ingest.manifest import manifest_path as manifest_path
from ingest.manifest import read_manifest as read_manifest
from ingest.manifest import verify as verify
from ingest.night_files import (
    NightWriter,
    Reflags,
    Wanted,
    apply_reflags,
    read_committed,
    read_records,
    read_reflags,
)
from ingest.seen import Seen
from ingest.tail import TailReader, read_upto, tail_path
from sensors.city import City
from sensors.errors import StoreError
from sensors.flags import FAIL, Flag
from sensors.night import Night, nights_of
from sensors.reading import NO_SEQ, RECORD, Records, empty_records, unique_by_key

if TYPE_CHECKING:
    import geopandas

FILES_A_NIGHT = 16  # more small files of one night than this are made fewer; each costs a reader about a millisecond
_LOCK_WAIT_S = 30.0
_RESCAN_POLLS = 20  # polls between looks for a new shard, which appears only when an ingest is added


def night_records(
    city: City,
    night: Night | date | str,
    *,
    received_until: np.datetime64 | None = None,
    reflagged: bool = True,
    quantities: Collection[int] | None = None,
    sites: Collection[int] | None = None,
    between: tuple[np.datetime64, np.datetime64] | None = None,
) -> Records:
    """Every reading of a night once, in the order of `sort_by_key`, from the archive and the log.

    received_until : UTC; only readings received by then, and only what had been learnt about them by then, as a page
        that closed then saw them
    reflagged : whether flags hold what was learnt later; False gives those that each reading came with
    quantities : codes, where only some are wanted: lamps are most of a night
    sites : site numbers, where only some are wanted
    between : UTC, begin (exclusive) and end (inclusive) of `time`, where not the whole night is wanted
    """
    wanted = Wanted(quantities, sites, between)
    name = _night_name(night)
    while True:
        manifest = read_manifest(city)
        files = [file for file in manifest.files if file.night == name]
        learnt = [file for file in manifest.reflags if file.night == name] if reflagged else []
        try:
            parts = [read_records(city, file, wanted) for file in files]
            rows = [read_reflags(city, file) for file in sorted(learnt, key=lambda file: file.number)]
        except FileNotFoundError:
            if read_manifest(city).number == manifest.number:
                raise StoreError(_missing(city, [*files, *learnt])) from None
            continue  # merged away between the manifest and here
        break
    parts += [wanted.of(_of_night(records, name, city)) for records in _beyond(city, manifest)]
    records = np.concatenate([empty_records(), *parts])
    if received_until is not None:
        records = records[records["received"] <= received_until]
    records = unique_by_key(records)
    for learnt_then in rows:  # in the order in which it was learnt
        dated = learnt_then["dated"]
        apply_reflags(records, learnt_then if received_until is None else learnt_then[dated <= received_until])
    return records


def nights(city: City) -> list[date]:
    """The nights that have readings, ascending."""
    manifest = read_manifest(city)
    names = {file.night for file in manifest.files}
    for records in _beyond(city, manifest):
        names |= {str(name) for name in np.unique(_nights(records, city))}
    return sorted(date.fromisoformat(name) for name in names)


def append_records(city: City, records: Records, source: str) -> int:
    """Add readings that did not come through the log (imported history); flagged by the caller. How many were new.

    source : where they come from, for the manifest
    Readings whose key the archive already holds are passed over, so an import may be repeated. So are those without a
    number whose interval overlaps one that the same site sent live: both would be counted.
    """
    if records.dtype != RECORD:
        raise StoreError("only records of the archived form (sensors.reading.RECORD) can be appended")
    with _writing(city, "history import"):
        manifest = tidied(city)
        by_night = _by_night(unique_by_key(records), city)
        fresh = {name: _not_in_archive(city, manifest, name, part) for name, part in by_night.items()}
        fresh = {name: part for name, part in fresh.items() if len(part)}
        if not fresh:
            return 0
        number = manifest.number + 1
        writer = NightWriter(city, number)
        added = [writer.write(name, part, {}, source) for name, part in fresh.items()]
        imports = (*manifest.imports, number)
        files = (*manifest.files, *added)
        commit(city, manifest, msgspec.structs.replace(manifest, number=number, files=files, imports=imports))
        return sum(len(part) for part in fresh.values())


def compact(city: City, upto: Mapping[str, Position]) -> int:
    """Move what the log's tails hold, up to a position of each shard, into the archive. How many readings moved.

    upto : shard -> end of the last block to take; every block up to there must be in the tail
    """
    with _writing(city, "ingest"):
        manifest = tidied(city)
        positions = dict(manifest.positions) | {
            shard: (end.segment, end.offset)
            for shard, end in upto.items()
            if end > Position(*manifest.positions.get(shard, (0, 0)))
        }
        if positions == manifest.positions:
            return 0
        parts = []
        for shard, end in upto.items():
            start = Position(*manifest.positions.get(shard, (0, 0)))
            blocks = [block for block in _tail(city, shard, start) if block[0] <= end]
            if end > start and (not blocks or blocks[-1][0] != end):
                # The manifest must not pass what nobody has read: who follows would never see it.
                raise StoreError(
                    f"the tail of shard {shard} does not reach {end.segment}:{end.offset}, up to where it is to be "
                    "archived; the next start of ingest rebuilds it from the log"
                )
            parts += [records for _, records in blocks]
        received = np.concatenate([empty_records(), *parts])
        records = unique_by_key(received)
        number = manifest.number + 1
        senders, was = Senders(city), read_ledger(city, manifest)
        ledger = Ledger(was.gaps, was.heard, was.conflicts)
        refused = ledger.note_conflicts(received) if len(records) < len(received) else 0
        ledger.note_messages(records, senders)
        by_night = _by_night(records, city)
        writer = NightWriter(city, number)
        added = [writer.write(name, part, positions, "log") for name, part in by_night.items()]
        merged, refused_later = _merge(city, (*manifest.files, *added), by_night, writer, ledger)
        done = msgspec.structs.replace(
            manifest,
            number=number,
            positions=positions,
            files=tuple(merged),
            ledger=write_ledger(city, number, manifest, was, ledger, senders),
            # Archives of format 1 did not say which commits were imports: files that hold nothing of the log are.
            imports=tuple(sorted({*manifest.imports, *(file.number for file in manifest.files if not file.upto)})),
            conflicts=manifest.conflicts + refused + refused_later,
        )
        commit(city, manifest, done)
        return len(records)


def add_reflags(city: City, night: Night | date | str, rows: Reflags, reasons: list[str]) -> None:
    """Keep what was learnt about readings of a night (REFLAG rows, and a reason in words for each).

    Physics has spoken when a reading was stored: a bit that fails a reading is neither added nor taken away later, so
    pages that are closed replay to the same bytes.
    """
    touched = int(np.bitwise_or.reduce(rows["flags_added"] | rows["flags_removed"], initial=0))
    if touched & int(FAIL):
        raise StoreError(f"a re-flag may not touch {Flag(touched & int(FAIL))!r}: only physics fails a reading")
    if not len(rows):
        return
    with _writing(city, "reflag"):
        manifest = tidied(city)
        number = manifest.number + 1
        written = NightWriter(city, number).reflag(_night_name(night), rows, reasons)
        done = msgspec.structs.replace(manifest, number=number, reflags=(*manifest.reflags, written))
        commit(city, manifest, done)


class Cursor(msgspec.Struct, frozen=True):
    """How far a follower has read: archive commits, and a position of each shard's log."""

    number: int = 0
    positions: dict[str, tuple[int, int]] = {}

    def to_json(self) -> str:
        """As text, to go on with after a restart."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Cursor:
        """The cursor that `to_json` wrote."""
        return msgspec.json.decode(text, type=cls)


@dataclass
class Follower:
    """Gives new readings as they are stored; see `follow`."""

    city: City
    cursor: Cursor
    since: str = ""
    _readers: dict[str, TailReader] = field(default_factory=dict, init=False)
    _stamp: tuple[int, int, int] | None = field(default=None, init=False)
    _polls: int = field(default=0, init=False)

    def poll(self) -> Records:
        """What was stored since the last call, in order of storing; empty at once when there is nothing.

        Nothing is left out, and nothing comes twice but what a device sent twice, and, to a follower that comes back
        when the log has been removed (a week later), the last minute before it stopped; so it keeps what it knows by
        key. Flags are those that a reading came with: what is learnt later is for `night_records` to tell.
        """
        manifest = self._changed_manifest()
        jumped = {} if manifest is None else self._jump(manifest)
        if self._polls % _RESCAN_POLLS == 0:
            self._find_shards()
        self._polls += 1
        parts: list[Records] = []
        positions = dict(self.cursor.positions)
        for shard in self._readers:
            for position, records in self._from_tail(shard):
                positions[shard] = (position.segment, position.offset)
                parts.append(records)
        if manifest is not None:
            # Only now, so that what was archived since the last call is known from the tail and not read again.
            parts = [*self._from_archive(manifest, positions | jumped), *parts]
            self.cursor = Cursor(manifest.number, positions)
        elif parts:
            self.cursor = Cursor(self.cursor.number, positions)
        if not parts:
            return empty_records()
        records = np.concatenate(parts)
        return records[_nights(records, self.city) >= np.datetime64(self.since, "D")] if self.since else records

    def close(self) -> None:
        """Close the files."""
        for reader in self._readers.values():
            reader.close()

    def _changed_manifest(self) -> Manifest | None:
        stamp = _stamp(manifest_path(self.city))
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        return read_manifest(self.city)

    def _jump(self, manifest: Manifest) -> dict[str, tuple[int, int]]:
        """Where a tail was never read, or is gone, go to where the archive ends; the positions left behind."""
        left = {}
        positions = dict(self.cursor.positions)
        for shard, end in manifest.positions.items():
            begun = positions.get(shard, (0, 0))
            if begun < end and not tail_path(_shard_folder(self.city, shard), begun[0]).exists():
                left[shard] = begun
                positions[shard] = end
                if shard in self._readers:
                    self._readers.pop(shard).close()
                self._open(shard, Position(*end))
        self.cursor = Cursor(self.cursor.number, positions)
        return left

    def _from_archive(self, manifest: Manifest, known: Mapping[str, tuple[int, int]]) -> list[Records]:
        """Readings of commits after the cursor's, but for those that were read from the log before."""
        parts = []
        for file in manifest.files:
            if file.number <= self.cursor.number or file.night < self.since:
                continue
            from_log = bool(file.upto) and all(known.get(shard, (0, 0)) >= end for shard, end in file.upto.items())
            imports = [number for number in manifest.imports if number > self.cursor.number]
            if from_log and not imports:
                continue
            try:
                records = read_committed(self.city, file)
            except FileNotFoundError:
                self._stamp = None  # merged meanwhile: the next call reads what took its place
                continue
            new = records["commit"] > self.cursor.number
            if from_log:
                new &= np.isin(records["commit"], imports)
            parts.append(_without_commit(records[new]))
        return parts

    def _open(self, shard: str, position: Position) -> None:
        self._readers[shard] = TailReader(_shard_folder(self.city, shard), position.segment, position.offset)

    def _find_shards(self) -> None:
        for shard in _shards(self.city):
            if shard not in self._readers:
                self._open(shard, Position(*self.cursor.positions.get(shard, (0, 0))))

    def _from_tail(self, shard: str) -> list[tuple[Position, Records]]:
        blocks = []
        while True:
            reader = self._readers[shard]
            blocks += reader.read()
            following = _next_segment(reader.folder, reader.segment)
            if following is None:
                return blocks
            blocks += reader.read()  # what came between reading and seeing that the segment had ended
            reader.close()
            self._readers[shard] = TailReader(reader.folder, following)


def follow(city: City, cursor: Cursor | None = None, *, since: Night | date | str | None = None) -> Follower:
    """Follow what is stored: first the archive, then the log's tail as it grows.

    cursor : where an earlier follower stopped (`Follower.cursor`); None begins with the oldest reading
    since : leave out nights before this one
    """
    return Follower(city, cursor or Cursor(), "" if since is None else _night_name(since))


def stored_until(city: City) -> np.datetime64 | None:
    """City time (UTC) before which everything that was received is here to be read; None when no ingest ever ran.

    It moves on while ingest runs, with or without readings, and stands still while it does not.
    """
    said = [upto for shard in _shards(city) if (upto := read_upto(_shard_folder(city, shard))) is not None]
    return np.datetime64(min(said), "ms") if said else None


def answers(city: City) -> geopandas.GeoDataFrame:
    """All survey answers as they are kept: coarsened, columns of `sensors.answer`, points in the city's CRS."""
    import geopandas
    import pandas as pd

    from sensors.answer import ANSWER_COLUMNS, empty_answers

    frames = [pd.read_parquet(file) for file in sorted(city.shelf("answers").glob("*.parquet"))]
    table = pd.concat(frames, ignore_index=True) if frames else empty_answers()
    missing = [name for name in ANSWER_COLUMNS if name not in table]
    if missing:
        raise StoreError(f"store/answers of {city.name} lacks {', '.join(missing)}; import the answers again")
    table = table[list(ANSWER_COLUMNS)].astype(ANSWER_COLUMNS)
    points = geopandas.points_from_xy(table["easting"], table["northing"], crs=city.crs)
    return geopandas.GeoDataFrame(table, geometry=points, crs=city.crs)


def answers_summary(city: City) -> dict[str, Any]:
    """How many answers there are, from when, and from which origins; None for times when there are none."""
    table = answers(city)
    people = table.drop_duplicates("response_id")
    return {
        "answers": len(table),
        "responses": len(people),
        "oldest": None if table.empty else table["time"].min(),
        "newest": None if table.empty else table["time"].max(),
        "origins": {str(origin): int(count) for origin, count in people["origin"].value_counts().items()},
    }


def _writing(city: City, who: str) -> Any:
    return shelf_lock(city.shelf("readings"), who, wait_s=_LOCK_WAIT_S)


def _merge(
    city: City, files: Sequence[StoredFile], touched: Iterable[str], writer: NightWriter, ledger: Ledger
) -> tuple[list[StoredFile], int]:
    """Of each touched night that is in too many pieces, fewer; and how many readings contradicted earlier ones."""
    kept = list(files)
    refused = 0
    for name in touched:
        pieces = _to_merge([file for file in kept if file.night == name])
        if not pieces:
            continue
        everything = np.concatenate([read_committed(city, piece) for piece in pieces])
        records = unique_by_key(everything)
        if len(records) < len(everything):
            refused += ledger.note_conflicts(everything)
        upto: dict[str, tuple[int, int]] = {}
        for piece in pieces:
            for shard, end in piece.upto.items():
                upto[shard] = max(upto.get(shard, (0, 0)), end)
        source = ", ".join(sorted({part for piece in pieces for part in piece.source.split(", ")}))
        merged = writer.merge(name, records, upto, source)
        # A follower that is past all pieces has nothing new to read in their sum.
        merged = msgspec.structs.replace(merged, number=max(piece.number for piece in pieces))
        gone = {piece.path for piece in pieces}
        kept = [file for file in kept if file.path not in gone] + [merged]
        for piece in pieces:
            if piece.number == writer.number:  # written by this very commit and never listed
                city.shelf("readings").joinpath(piece.path).unlink(missing_ok=True)
    return kept, refused


def _to_merge(pieces: list[StoredFile]) -> list[StoredFile]:
    """The smaller pieces of a night that is in too many: each reading is then written anew a few times, not each time.

    A piece at least half as large as all smaller ones together stays as it is: in a night of 720 commits a reading is
    then written anew three times on average, against fifty if each merge took all.
    """
    if len(pieces) <= FILES_A_NIGHT:
        return []
    ordered = sorted(pieces, key=lambda piece: (piece.rows, piece.path))
    while len(ordered) > 2 and 2 * ordered[-1].rows >= sum(piece.rows for piece in ordered[:-1]):
        ordered.pop()
    return ordered


def _without_commit(records: Records) -> Records:
    plain = np.empty(len(records), RECORD)
    for name in RECORD.names or ():
        plain[name] = records[name]
    return plain


def _not_in_archive(city: City, manifest: Manifest, night: str, records: Records) -> Records:
    """Those of some unique records of a night that are not stored yet."""
    held = [read_records(city, file) for file in manifest.files if file.night == night]
    held += [_of_night(part, night, city) for part in _beyond(city, manifest)]
    seen = Seen(len(records) + sum(len(part) for part in held))
    for part in held:
        seen.new(part)
    fresh: Records = records[seen.new(records)]
    return fresh[~_sent_live(fresh, np.concatenate([empty_records(), *held]))]


def _sent_live(records: Records, held: Records) -> npt.NDArray[np.bool_]:
    """Which records (one bool each) have no number, and share time with a numbered one of the same kind."""
    shared = np.zeros(len(records), bool)
    live = held[held["seq"] != NO_SEQ]
    for site, quantity in np.unique(live[["site", "quantity"]]).tolist():
        mine = (records["site"] == site) & (records["quantity"] == quantity) & (records["seq"] == NO_SEQ)
        if not mine.any():
            continue
        theirs = np.sort(live[(live["site"] == site) & (live["quantity"] == quantity)], order="time")
        begins, ends = _begins(theirs), theirs["time"]
        after = np.searchsorted(ends, _begins(records[mine]), side="right")  # the first that ends after a record begins
        found = after < len(theirs)
        shared[mine] = found & (begins[np.minimum(after, len(theirs) - 1)] < records["time"][mine])
    return shared


def _begins(records: Records) -> npt.NDArray[np.datetime64]:
    """Begin of each record's interval (begin, time]; a moment counts as the millisecond that ends with it."""
    lasted = np.maximum(records["duration_s"].astype(float) * 1000, 1)
    began: npt.NDArray[np.datetime64] = records["time"] - lasted.astype("timedelta64[ms]")
    return began


def _beyond(city: City, manifest: Manifest) -> list[Records]:
    """What the log holds and the archive does not yet."""
    parts = []
    for shard in _shards(city):
        start = Position(*manifest.positions.get(shard, (0, 0)))
        parts += [records for _, records in _tail(city, shard, start)]
    return parts


def _tail(city: City, shard: str, start: Position) -> list[tuple[Position, Records]]:
    """The blocks of a shard's tail beyond a position."""
    folder = _shard_folder(city, shard)
    blocks = []
    for path in sorted(tail_path(folder, 0).parent.glob("*.rec")):
        segment = int(path.stem)
        if segment < start.segment:
            continue
        reader = TailReader(folder, segment, start.offset if segment == start.segment else 0)
        blocks += reader.read()
        reader.close()
    return blocks


def _shards(city: City) -> list[str]:
    return sorted(path.name for path in city.shelf("log").glob("*") if path.is_dir())


def _shard_folder(city: City, shard: str) -> Path:
    return city.shelf("log", shard)


def _next_segment(folder: Path, segment: int) -> int | None:
    """The segment after this one that has a tail; numbers follow each other, but for those removed with age."""
    if tail_path(folder, segment + 1).exists():
        return segment + 1
    if segment == 0 or not tail_path(folder, segment).exists():
        later = [int(path.stem) for path in tail_path(folder, 0).parent.glob("*.rec") if int(path.stem) > segment]
        return min(later, default=None)
    return None


def _night_name(night: Night | date | str) -> str:
    if isinstance(night, Night):
        return night.name
    return night if isinstance(night, str) else night.isoformat()


def _nights(records: Records, city: City) -> npt.NDArray[np.datetime64]:
    clock_failed = (records["flags"] & np.uint16(Flag.CLOCK)) != 0
    return nights_of(np.where(clock_failed, records["received"], records["time"]), city.zone)


def _of_night(records: Records, name: str, city: City) -> Records:
    picked: Records = records[_nights(records, city) == np.datetime64(name, "D")]
    return picked


def _by_night(records: Records, city: City) -> dict[str, Records]:
    found = _nights(records, city)
    return {str(name): records[found == name] for name in np.unique(found)}


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _missing(city: City, files: Sequence[StoredFile]) -> str:
    shelf = city.shelf("readings")
    lost = [file.path for file in files if not shelf.joinpath(file.path).exists()]
    return f"{city.name}: the archive lists {', '.join(lost)} and the file is not there; restore it from a backup"
