"""The atlas: released pages on disk, and the only door through which they are read.

A night is one Zarr (format 3) over (time, northing, easting), one chunk a step and variable, and beside it a small
`current.json` that names the version and the steps that are closed. Replacing `current.json` is the commit: a reader
never sees a page that is half written, and a page never changes under its name.

    store/atlas/2026-11-20/v1.zarr, current.json     the night: closed pages
    store/atlas/now/now-17.zarr, current.json        the last minutes: provisional, replaced many times a minute
    store/atlas/plan/<name>/v1.zarr, current.json    what a scenario would change
    store/public/2026-11-20/...                      the public level of a night

All pages of one version share their layers, grid and model; a page of another model starts the next version.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt
import xarray as xr

from analytics.zarr_files import create_array, create_group, write_chunk
from sensors.city import City
from sensors.errors import ShelfLocked, StoreError
from sensors.night import Night, Times, parse_rfc3339, rfc3339

if TYPE_CHECKING:
    import zarr

FORMAT = 1
NOW = "now"
PLAN = "plan"

Meta = dict[str, Any]
Array = npt.NDArray[Any]

_DIMENSIONS = ("time", "northing", "easting")
_TIME_UNITS: dict[str, Any] = {
    "units": "milliseconds since 1970-01-01",
    "calendar": "proleptic_gregorian",
    "standard_name": "time",
}
_NIGHT_NAME = re.compile(r"\d{4}-\d{2}-\d{2}")
_KEEP_VERSIONS = 3  # of a night: the current one, its predecessor for readers under way, and one to compare with
_KEEP_NOW_S = 10.0  # wall seconds that a superseded `now` stays for readers under way
_LOCK_WAIT_S = 10.0  # wall seconds; a page takes well under one to write
_CACHE_BYTES = 64_000_000


# --- reading ----------------------------------------------------------------------------------------------------------


def nights(city: City, level: str = "atlas") -> list[str]:
    """Names of the nights that have pages, ascending; `level` is 'atlas' or 'public'."""
    shelf = city.shelf(level)
    if not shelf.is_dir():
        return []
    return sorted(f.name for f in shelf.iterdir() if _NIGHT_NAME.fullmatch(f.name) and (f / "current.json").exists())


def night_meta(city: City, night: Night | str, level: str = "atlas") -> Meta | None:
    """The night's `current.json`: version, closed steps, model, attribution; None where there is no page."""
    return _read_current(city.shelf(level, _name(night)))


def now_meta(city: City) -> Meta | None:
    """The `current.json` of `now`; None before the mapper has ever run. Cheap enough to look at every 100 ms."""
    return _read_current(city.shelf("atlas", NOW))


def closed_steps(meta: Meta) -> Times:
    """Starts of the closed steps, ascending, UTC datetime64[ms]."""
    return np.array([parse_rfc3339(entry["step"]) for entry in meta["closed"]], "datetime64[ms]")


def open_night(city: City, night: Night | str, level: str = "atlas") -> tuple[xr.Dataset, Meta]:
    """The closed pages of a night, lazily, with its `current.json`; StoreError where there are none."""
    folder = city.shelf(level, _name(night))
    meta = _read_current(folder)
    if meta is None:
        raise StoreError(f"night {_name(night)} has no pages; 'noctule replay' makes them ({folder})")
    decoder = xr.coders.CFDatetimeCoder(time_unit="ms")
    dataset = xr.open_zarr(folder / meta["zarr"], consolidated=False, chunks=None, decode_times=decoder)
    rows = np.flatnonzero(np.isin(_step_ms(meta["steps"]), closed_steps(meta).astype(np.int64)))
    return dataset.isel(time=rows), meta


def open_step(
    city: City,
    night: Night | str,
    step: np.datetime64,
    variables: Sequence[str] | None = None,
    level: str = "atlas",
) -> xr.Dataset:
    """One closed page in memory, all its variables or those named; StoreError where the step is not closed."""
    folder = city.shelf(level, _name(night))
    meta = _read_current(folder)
    wanted = rfc3339(step)
    if meta is None or all(entry["step"] != wanted for entry in meta["closed"]):
        raise StoreError(f"step {wanted} of night {_name(night)} has no closed page")
    return _page(folder / meta["zarr"], meta["steps"].index(wanted), variables)


def open_now(city: City, variables: Sequence[str] | None = None) -> tuple[xr.Dataset | None, Meta]:
    """The provisional page in memory with its `current.json`.

    The page is None while there is nothing to show; `meta["state"]` says why. StoreError before the mapper's first
    run.
    """
    folder = city.shelf("atlas", NOW)
    for _ in range(5):
        meta = _read_current(folder)
        if meta is None:
            raise StoreError(f"nothing has been mapped yet; 'noctule map' does it ({folder})")
        if meta["zarr"] is None:
            return None, meta
        path = folder / meta["zarr"]
        try:
            page = _page(path, 0, variables)
        except FileNotFoundError:
            continue
        # Zarr reads a missing chunk as "not known"; only a page that is still there was read in full.
        if path.is_dir():
            return page, meta
    raise StoreError(f"{folder} changes faster than it can be read; is the disk very slow?")


def plans(city: City) -> list[str]:
    """Names of the scenarios that have a difference page."""
    shelf = city.shelf("atlas", PLAN)
    return sorted(f.name for f in shelf.iterdir() if (f / "current.json").exists()) if shelf.is_dir() else []


def plan_meta(city: City, name: str) -> Meta | None:
    """A planned scenario's `current.json`: its table, night and steps; None where it was never planned."""
    return _read_current(city.shelf("atlas", PLAN, name))


def open_plan(city: City, name: str, step: np.datetime64 | None = None) -> tuple[xr.Dataset, Meta]:
    """A planned scenario's difference page in memory at one of its steps (the first without), with its meta."""
    meta = plan_meta(city, name)
    if meta is None:
        raise StoreError(f"scenario '{name}' was never planned; 'noctule plan' does it")
    row = 0 if step is None else meta["steps"].index(rfc3339(step))
    return _page(city.shelf("atlas", PLAN, name) / meta["zarr"], row, None), meta


def page_digest(dataset: xr.Dataset) -> str:
    """SHA-256 over names, types, shapes and bytes of a page's variables and coordinates, in order of name.

    Not known is one value here: every NaN counts as the same NaN.

    >>> page = xr.Dataset({"noise": ("easting", np.array([50.0, np.nan], "f4"))}, {"easting": [5.0, 15.0]})
    >>> page_digest(page) == page_digest(page.copy(deep=True)), page_digest(page) == page_digest(page + 1)
    (True, False)
    """
    total = hashlib.sha256()
    for name in sorted(str(name) for name in dataset.variables):
        values = dataset[name].values
        if values.dtype.kind == "M":
            values = values.astype("datetime64[ms]").astype("<i8")
        values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        if values.dtype.kind == "f":
            values = np.where(np.isnan(values), values.dtype.type(np.nan), values)
        total.update(f"{name} {values.dtype.str} {values.shape} ".encode())
        total.update(values.tobytes())
    return total.hexdigest()


# --- writing ----------------------------------------------------------------------------------------------------------


def night_steps(city: City, night: Night) -> Times:
    """Starts of the steps that the city maps in a night, UTC."""
    settings = city.settings.night
    return night.steps(settings.from_, settings.to, settings.step_minutes)


def write_step(city: City, night: Night, page: xr.Dataset, meta: Meta) -> Meta:
    """Close one step: write its page (time of length 1) and commit; returns its entry in `current.json`.

    Parameters
    ----------
    meta : dict
        `model`, `places`, `settings`, `code` (digests), `simulated`, `attribution`, `written` of the page, and
        `records`, `cut` of its entry.

    A step that is closed already with the same digest stays as it is; with another digest the night gets a new
    version, in which only this step differs.
    """
    folder = city.shelf("atlas", night.name)
    entry = _entry(page, meta)
    with _writer(folder, "a mapper or a replay"):
        current = _read_current(folder)
        steps = [rfc3339(step) for step in night_steps(city, night)]
        if entry["step"] not in steps:
            raise StoreError(f"step {entry['step']} is not one of the {len(steps)} steps of night {night.name}")
        follows = current is not None and _same_version(folder, current, page, steps, meta)
        closed = {old["step"]: old for old in current["closed"]} if current is not None and follows else {}
        if current is not None and closed.get(entry["step"], {}).get("digest") == entry["digest"]:
            return entry
        version = current["version"] if current is not None else 0
        if not follows:
            version += 1
            _create(folder / f"v{version}.zarr", page, steps)
        elif entry["step"] in closed:
            version += 1
            _copy(folder / f"v{version - 1}.zarr", folder / f"v{version}.zarr")
        _fill(folder / f"v{version}.zarr", steps.index(entry["step"]), page)
        closed[entry["step"]] = entry
        _commit(folder, _night_current(night, version, steps, sorted(closed.values(), key=_step_of), meta))
        _prune(folder, version)
    return entry


def write_night(
    city: City, night: Night, pages: Iterable[tuple[xr.Dataset, Meta]], level: str = "atlas", **more: Any
) -> Meta | None:
    """Write a whole night as a new version, committed once at the end; returns its `current.json`.

    `pages` are (page, meta) as for `write_step`, one a step; None and nothing written when there are none. `more`
    is added to `current.json`.
    """
    folder = city.shelf(level, night.name)
    with _writer(folder, "a mapper or a replay"):
        current = _read_current(folder)
        version = 1 + (current["version"] if current is not None else 0)
        path = folder / f"v{version}.zarr"
        closed: list[Meta] = []
        last: Meta = {}
        all_steps = [rfc3339(step) for step in night_steps(city, night)]
        for page, meta in pages:
            if not closed:
                _create(path, page, all_steps)
            entry = _entry(page, meta)
            _fill(path, all_steps.index(entry["step"]), page)
            closed.append(entry)
            last = meta
        if not closed:
            return None
        content = _night_current(night, version, all_steps, sorted(closed, key=_step_of), last) | more
        _commit(folder, content)
        _prune(folder, version)
    return content


def write_now(city: City, page: xr.Dataset | None, meta: Meta) -> Meta:
    """Replace `now` by a provisional page (time of length 1), or by none; the caller holds `mapper_lock`."""
    folder = city.shelf("atlas", NOW)
    current = _read_current(folder)
    version = 1 + (current["version"] if current is not None else 0)
    name = None
    if page is not None:
        name = f"now-{version}.zarr"
        steps = [rfc3339(page["time"].values[0])]
        _create(folder / name, page, steps)
        _fill(folder / name, 0, page, durable=False)
    content = {"format": FORMAT, "version": version, "zarr": name, **meta}
    _commit(folder, content, durable=False)
    _forget_superseded(folder, name)
    return content


def write_plan(city: City, name: str, pages: xr.Dataset, meta: Meta) -> Meta:
    """Write what a scenario would change, (time, northing, easting), with its table in `meta`; returns its meta."""
    folder = city.shelf("atlas", PLAN, name)
    with _writer(folder, "another plan of this name"):
        current = _read_current(folder)
        version = 1 + (current["version"] if current is not None else 0)
        steps = [rfc3339(step) for step in pages["time"].values]
        path = folder / f"v{version}.zarr"
        _create(path, pages, steps)
        for row in range(len(steps)):
            _fill(path, row, pages.isel(time=[row]))
        content = {"format": FORMAT, "version": version, "zarr": path.name, "name": name, "steps": steps, **meta}
        _commit(folder, content)
        _prune(folder, version)
    return content


@contextmanager
def mapper_lock(city: City) -> Iterator[None]:
    """Held by the one mapper of a city for as long as it runs; ShelfLocked when there is another."""
    with _writer(city.shelf("atlas", NOW), "another 'noctule map'", wait_s=0.0):
        yield


# --- inside -----------------------------------------------------------------------------------------------------------


def _name(night: Night | str) -> str:
    return night if isinstance(night, str) else night.name


def _step_of(entry: Meta) -> str:
    return str(entry["step"])


def _step_ms(steps: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.array([parse_rfc3339(step) for step in steps], "datetime64[ms]").astype(np.int64)


def _entry(page: xr.Dataset, meta: Meta) -> Meta:
    return {
        "step": rfc3339(page["time"].values[0]),
        "digest": page_digest(page),
        "records": meta["records"],
        "cut": meta["cut"],
        "places": meta["places"],
    }


def _night_current(night: Night, version: int, steps: list[str], closed: list[Meta], meta: Meta) -> Meta:
    kept = {key: meta[key] for key in ("model", "places", "settings", "code", "simulated", "attribution", "written")}
    kept |= {key: meta[key] for key in ("covariance",) if key in meta}
    return {
        "format": FORMAT,
        "version": version,
        "zarr": f"v{version}.zarr",
        "night": night.name,
        "steps": steps,
        "closed": closed,
        **kept,
    }


def _same_version(folder: Path, current: Meta, page: xr.Dataset, steps: list[str], meta: Meta) -> bool:
    if current["steps"] != steps or current["model"] != meta["model"]:
        return False
    arrays = _arrays(folder / current["zarr"])
    return (
        set(arrays) == {str(name) for name in page.variables}
        and all(arrays[str(name)].dtype == page[name].dtype for name in page.data_vars)
        and all(np.array_equal(arrays[axis][:], page[axis].values) for axis in _DIMENSIONS[1:])
    )


def _create(path: Path, page: xr.Dataset, steps: list[str]) -> None:
    """An empty Zarr with the page's variables over all `steps`."""
    for name, layer in _layers(page).items():
        if layer.dims != _DIMENSIONS:
            raise StoreError(f"layer '{name}' lies over {layer.dims}; pages lie over {_DIMENSIONS}")
    shutil.rmtree(path, ignore_errors=True)  # what an interrupted writer left: never committed, so never seen
    create_group(path, page.attrs)
    axes = [("time", _step_ms(steps), _TIME_UNITS)]
    for name, letter in (("northing", "Y"), ("easting", "X")):
        axes.append((name, page[name].values.astype(np.float64), {"units": "m", "axis": letter, **page[name].attrs}))
    for name, values, attributes in axes:
        create_array(path / name, values.shape, values.shape, values.dtype, (name,), attributes)
        write_chunk(path / name, (0,), values, durable=False)
    for name, layer in _layers(page).items():
        shape = layer.shape[1:]
        create_array(path / name, (len(steps), *shape), (1, *shape), layer.dtype, _DIMENSIONS, layer.attrs)


def _fill(path: Path, row: int, page: xr.Dataset, *, durable: bool = True) -> None:
    """Write one step's chunks; a chunk is written by nobody else.

    Durable ones are on the disk before the commit names them, so that a power cut cannot leave a committed page
    without its bytes.
    """
    for name, layer in _layers(page).items():
        write_chunk(path / name, (row, 0, 0), layer.to_numpy(), durable=durable)


def _layers(page: xr.Dataset) -> dict[str, xr.Variable]:
    """The page's layers as plain variables: asking a dataset for each as an array of its own takes 0.2 ms."""
    return {str(name): page.variables[name] for name in page.data_vars}


def _copy(old: Path, new: Path) -> None:
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(old, new)


def _commit(folder: Path, content: Meta, *, durable: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / "current.json.new"
    beside.write_bytes(msgspec.json.encode(content))
    if durable:
        _sync(beside)
    beside.replace(folder / "current.json")


def _sync(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return  # a chunk of nothing but fill values is not stored
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _prune(folder: Path, version: int) -> None:
    for path in folder.glob("v*.zarr"):
        if path.stem[1:].isdigit() and int(path.stem[1:]) <= version - _KEEP_VERSIONS:
            shutil.rmtree(path, ignore_errors=True)


def _forget_superseded(folder: Path, name: str | None) -> None:
    oldest = time.time() - _KEEP_NOW_S
    for path in folder.glob("now-*.zarr"):
        if path.name != name and path.stat().st_mtime < oldest:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _writer(folder: Path, other: str, wait_s: float = _LOCK_WAIT_S) -> Iterator[None]:
    """One writer a folder; `other` names who might hold it."""
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_s
    with open(folder / ".lock", "w") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise ShelfLocked(f"{folder} is being written by {other}; stop it first") from None
                time.sleep(0.02)
        yield


def _read_current(folder: Path) -> Meta | None:
    path = folder / "current.json"
    try:
        content: Meta = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise StoreError(f"{path} is damaged ({error}); remove the folder and replay the night") from error
    if content.get("format") != FORMAT:
        raise StoreError(f"{path} has format {content.get('format')}, this version reads {FORMAT}; 'noctule migrate'")
    return content


class _Kept:
    """The arrays read last, up to a number of bytes; pages never change under their name, so none goes stale."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._held: OrderedDict[tuple[str, str, int], Array] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: tuple[str, str, int]) -> Array | None:
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def put(self, key: tuple[str, str, int], values: Array) -> None:
        with self._lock:
            if key in self._held:
                return
            self._held[key] = values
            self._bytes += values.nbytes
            while self._bytes > self._budget and len(self._held) > 1:
                _, dropped = self._held.popitem(last=False)
                self._bytes -= dropped.nbytes


_pages = _Kept(_CACHE_BYTES)
_Arrays = dict[str, "zarr.Array[Any]"]
_groups: OrderedDict[Path, _Arrays] = OrderedDict()
_groups_lock = Lock()


def _arrays(path: Path) -> _Arrays:
    """The opened arrays of a Zarr, kept for the 16 used last."""
    import zarr

    with _groups_lock:
        if path in _groups:
            _groups.move_to_end(path)
            return _groups[path]
    opened: _Arrays = dict(zarr.open_group(str(path), mode="r").arrays())
    with _groups_lock:
        _groups[path] = opened
        while len(_groups) > 16:
            _groups.popitem(last=False)
    return opened


def _page(path: Path, row: int, variables: Sequence[str] | None) -> xr.Dataset:
    arrays = _arrays(path)
    coordinates = {name: _values(path, arrays, name, -1) for name in _DIMENSIONS}
    moment = coordinates["time"][row : row + 1].astype("datetime64[ms]")
    names = [name for name in arrays if name not in _DIMENSIONS] if variables is None else list(variables)
    missing = [name for name in names if name not in arrays]
    if missing:
        raise StoreError(f"{path} has no layer {', '.join(missing)}; it has {', '.join(sorted(arrays))}")
    page = xr.Dataset(
        {name: (_DIMENSIONS, _values(path, arrays, name, row)[np.newaxis], dict(arrays[name].attrs)) for name in names},
        {"time": moment, "northing": coordinates["northing"], "easting": coordinates["easting"]},
    )
    page.attrs.update(_group_attributes(path))
    return page


def _values(path: Path, arrays: _Arrays, name: str, row: int) -> Array:
    """One chunk (or, with row -1, a whole coordinate), from memory where it was read before."""
    key = (str(path), name, row)
    found = _pages.get(key)
    if found is None:
        found = np.asarray(arrays[name][:] if row < 0 else arrays[name][row])
        found.flags.writeable = False
        _pages.put(key, found)
    return found


def _group_attributes(path: Path) -> dict[str, Any]:
    content = msgspec.json.decode((path / "zarr.json").read_bytes(), type=dict[str, Any])
    return dict(content.get("attributes", {}))
