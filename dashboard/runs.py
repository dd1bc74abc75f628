"""What this server can show: every page of the atlas as a run of frames, each with a version of its own.

A *run* is `now`, a night ('2026-11-20'), a public night ('public-2026-11-19') or a plan ('plan-NAME'). A *frame* is a
step of it. Its version is taken from what the step holds (the digest of a closed step, the number of a `now` page), so
that a tile's address never changes its meaning and a browser may keep it for ever; closing the next step leaves all
earlier tiles as they are.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from analytics import atlas
from dashboard.ground import kept_ground
from dashboard.memory import give_back
from dashboard.scales import (
    CHANGES,
    GAP_LAYERS,
    INTERVAL_SD,
    LAYERS,
    OF_GROUPS,
    PARTS,
    SCALES,
    SDS,
    SIMULATED,
    USUAL,
    Scale,
    drawn_from,
)
from dashboard.tiles import NOTHING, ByteCache, GridFrame, Packed, native_values, pyramid
from dashboard.usual import MARK, Unlike, UsualFields, level_of, plain_version
from sensors.city import City
from sensors.errors import NoctuleError
from sensors.night import parse_rfc3339

if TYPE_CHECKING:
    import xarray as xr

NOW = "now"
PUBLIC = "public-"
PLAN = "plan-"
_NIGHT = re.compile(r"\d{4}-\d{2}-\d{2}")
_PLAN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
# `now` is replaced up to twice a second; a browser asks for a version within a second or two of hearing of it.
_KEPT_NOWS = 8
_KEPT_NOW_BYTES = 64 * 2**20  # of all but the newest; a page of a million cells takes twice that
_KEPT_MARKS = 5_000  # frames of which it is known which layers are simulated
_UNSURE = 0.7  # of a difference inside its interval: a root mean square above 0.5 is drawn grey
_KEPT_TOLD_BYTES = 128 * 2**20  # 21 steps of a million cells take 63
_KEPT_BYTES = 176 * 2**20  # a frame takes 48 kB for 17,850 cells and 2.7 MB for a million

Floats = npt.NDArray[np.floating]
_Told = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16]]  # values 0..100, standard deviations


@dataclass(frozen=True)
class Run:
    """A page of the atlas as it stood when it was opened."""

    name: str
    night: str
    stamp: tuple[int, ...]
    times: npt.NDArray[np.datetime64]  # starts of the frames, UTC
    versions: tuple[str | None, ...]  # None: nothing mapped for that step
    variables: frozenset[str]
    meta: dict[str, Any]
    frame: GridFrame  # where its cells lie: a public page's are larger
    page: xr.Dataset | None  # held where the shelf keeps only the newest
    shares_alone: bool = False  # nobody answered: perceived safety is of published shares of areas

    @property
    def simulated(self) -> bool:
        """Whether anything behind this page is simulated."""
        return bool(self.meta.get("simulated", False))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that this page can show."""
        known = (*LAYERS, *OF_GROUPS, *GAP_LAYERS, *CHANGES)
        return tuple(name for name in known if SCALES[name].variable in self.variables)

    @property
    def last(self) -> int | None:
        """The newest frame that has a page."""
        return max((frame for frame, version in enumerate(self.versions) if version is not None), default=None)


class Runs:
    """Opens the atlas's pages when they change and keeps their frames as bytes."""

    def __init__(self, city: City) -> None:
        self.city = city
        grid = city.settings.grid
        shape = (round((grid.north - grid.south) / grid.cell_m), round((grid.east - grid.west) / grid.cell_m))
        self.frame = GridFrame(city.crs, grid.west, grid.south, grid.cell_m, shape)
        self.bodies = ByteCache(32 * 2**20)
        self.usual = UsualFields(city)
        self._open: dict[str, Run] = {}
        self._nows: deque[Run] = deque(maxlen=_KEPT_NOWS)
        self._levels: OrderedDict[tuple[str, str, int, str], list[Packed]] = OrderedDict()
        self._making: dict[tuple[str, str, int, str], Lock] = {}
        self._size = 0
        self._tolds: OrderedDict[tuple[str, str, int, str], _Told] = OrderedDict()
        self._lock = RLock()
        self._ground: dict[GridFrame, npt.NDArray[np.bool_]] = {}
        self._simulated: dict[tuple[str, int, str], frozenset[str]] = {}

    def ground(self, frame: GridFrame) -> npt.NDArray[np.bool_]:
        """Where people could be told something, (northing, easting) of a grid."""
        with self._lock:
            if frame not in self._ground:
                self._ground[frame] = kept_ground(self.city, frame)
            return self._ground[frame]

    def nights(self, public: bool = False) -> list[str]:
        """Names of the runs of past nights and tonight, oldest first."""
        return [PUBLIC + name for name in atlas.nights(self.city, "public")] if public else atlas.nights(self.city)

    def plans(self) -> list[str]:
        """Names of the scenarios that were planned, newest first."""
        names = [name for name in atlas.plans(self.city) if _PLAN_NAME.fullmatch(name)]
        return sorted(names, key=lambda name: self.stamp(PLAN + name) or (0,), reverse=True)

    def get(self, name: str) -> Run | None:
        """The run of this name as it stands now; None where there is none or it cannot be read."""
        stamp = self.stamp(name)
        if stamp is None:
            return None
        with self._lock:
            run = self._open.get(name)
            if run is None or run.stamp != stamp:
                try:
                    run = self._read(name, stamp)
                except (NoctuleError, OSError, KeyError, ValueError):
                    # A page is replaced while we open it: the one read before still stands, the next look succeeds.
                    return run
                self._open[name] = run
                if name == NOW:
                    self._keep_now(run)
            return run

    def _keep_now(self, run: Run) -> None:
        self._nows.append(run)
        while len(self._nows) > 1 and sum(_size(one) for one in list(self._nows)[:-1]) > _KEPT_NOW_BYTES:
            self._nows.popleft()

    def at(self, name: str, frame: int, version: str) -> Run | None:
        """The run that holds a frame in this version: the newest, or for `now` one of the last few."""
        version = plain_version(version)
        run = self.get(name)
        held = [run, *reversed(self._nows)] if name == NOW else [run]
        for one in held:
            if one is not None and 0 <= frame < len(one.versions) and one.versions[frame] == version:
                return one
        return None

    def stamp(self, name: str) -> tuple[int, ...] | None:
        """What changes whenever a run's page is replaced; None where there is none. Costs microseconds."""
        page = self.page_file(name)
        try:
            status = page.stat() if page is not None else None
        except OSError:
            return None
        return None if status is None else (status.st_mtime_ns, status.st_ino, status.st_size)

    def page_file(self, name: str) -> Path | None:
        """The small file whose replacement is the commit of a run's page; None for a name that no run can have."""
        if name == NOW:
            return self.city.shelf("atlas", NOW, "current.json")
        if _NIGHT.fullmatch(name):
            return self.city.shelf("atlas", name, "current.json")
        if name.startswith(PUBLIC) and _NIGHT.fullmatch(name.removeprefix(PUBLIC)):
            return self.city.shelf("public", name.removeprefix(PUBLIC), "current.json")
        if name.startswith(PLAN) and _PLAN_NAME.fullmatch(name.removeprefix(PLAN)):
            return self.city.shelf("atlas", "plan", name.removeprefix(PLAN), "current.json")
        return None

    def fields(self, run: Run, frame: int, names: tuple[str, ...]) -> dict[str, Floats]:
        """Arrays (northing, easting) of one frame, of those variables that the page has; NoctuleError if it is gone."""
        wanted = [name for name in names if name in run.variables]
        if run.page is not None:
            page = run.page
        elif run.name.startswith(PLAN):
            page, _ = atlas.open_plan(self.city, run.name.removeprefix(PLAN), run.times[frame])
        else:
            page = atlas.open_step(self.city, run.night, run.times[frame], wanted, level_of(run.name))
        return {name: np.asarray(page[name].values[0]) for name in wanted}

    def simulated(self, run: Run) -> frozenset[str]:
        """The layers of a run behind which anything is simulated.

        Cells of light, footfall and noise say it of themselves; whatever rests on answers is simulated if its page is.
        """
        if not run.simulated:
            return frozenset()
        found: set[str] = set()
        for frame, version in enumerate(run.versions):
            if version is not None:
                found |= self._simulated_at(run, frame, version)
        return frozenset(found)

    def _simulated_at(self, run: Run, frame: int, version: str) -> frozenset[str]:
        key = (run.name, frame, version)
        if key not in self._simulated:
            origins = {layer: SCALES[layer].origin for layer in run.layers}
            try:
                told = self.fields(run, frame, tuple(name for name in origins.values() if name))
            except (
                NoctuleError,
                OSError,
            ):  # replaced while it was read: until the next look, what its page says of all
                return frozenset(origins)
            marked = [
                layer
                for layer, name in origins.items()
                if name not in told or bool((told[name].astype(np.uint8) & SIMULATED).any())
            ]
            if len(self._simulated) > _KEPT_MARKS:
                self._simulated.clear()
            self._simulated[key] = frozenset(marked)
        return self._simulated[key]

    def has(self, name: str, layer: str, frame: int) -> bool:
        """Whether a run has a frame of a layer in any version."""
        run = self.get(name)
        return run is not None and drawn_from(layer) in run.layers and 0 <= frame < len(run.versions)

    def levels(self, name: str, layer: str, frame: int, version: str) -> list[Packed] | None:
        """A frame's bytes on all levels of detail; None where this version is not, or no longer, to be had."""
        key = (name, layer, frame, version)
        with self._lock:
            if key in self._levels:
                self._levels.move_to_end(key)
                return self._levels[key]
            turn = self._making.setdefault(key, Lock())
        with turn:  # fifty viewers hear of a change at once: one of them makes what all ask for
            try:
                return self._made(key)
            finally:
                with self._lock:
                    self._making.pop(key, None)

    def _made(self, key: tuple[str, str, int, str]) -> list[Packed] | None:
        name, layer, frame, version = key
        with self._lock:
            if key in self._levels:
                return self._levels[key]
        run = self.at(name, frame, version)
        if run is None or drawn_from(layer) not in run.layers:
            return None
        if (layer in USUAL) != (MARK in version) or (layer in USUAL and not self._still_usual(run, version)):
            return None
        try:
            made = self._encode(run, layer, frame)
        except (NoctuleError, OSError):  # replaced between look and read; the browser asks again with the new version
            return None
        with self._lock:
            self._levels[key] = made
            give_back()
            self._size += sum(level.nbytes for level in made)
            while self._size > _KEPT_BYTES and len(self._levels) > 1:
                _, old = self._levels.popitem(last=False)
                self._size -= sum(level.nbytes for level in old)
        return made

    def unlike(self, run: Run, layer: str, frame: int) -> Unlike:
        """What of a frame differs from the usual of its weekday and quarter hour."""
        scale = SCALES[layer]
        fields = self.fields(run, frame, (scale.variable, scale.sd))
        return self.usual.unlike(layer, run.night, level_of(run.name), run.times[frame], fields)

    def _still_usual(self, run: Run, version: str) -> bool:
        found = self.usual.nights(run.night, level_of(run.name))
        return found.enough and version.endswith(MARK + found.digest)

    def curve(self, run: Run, layer: str, row: int, column: int) -> list[float | None]:
        """The layer's quantity in one cell through the frames of a run, as coarse as the map shows it."""
        scale, packed = (
            SCALES[layer],
            [NOTHING if at is None else int(at[0]) for at in self._through(run, layer, row, column)],
        )
        return [None if value == NOTHING else float(scale.to_quantity(value)) for value in packed]

    def spread(self, run: Run, layer: str, row: int, column: int) -> list[float | None]:
        """The layer's standard deviation in one cell through the frames of a run, in the layer's own terms."""
        found = [np.nan if at is None else float(at[1]) for at in self._through(run, layer, row, column)]
        return [sd if np.isfinite(sd) else None for sd in found]

    def _through(self, run: Run, layer: str, row: int, column: int) -> list[tuple[Any, Any] | None]:
        """Value and standard deviation in one cell, by frame; None where a frame is not mapped or was replaced."""
        found: list[tuple[Any, Any] | None] = []
        for frame, version in enumerate(run.versions):
            here = None
            if version is not None:
                with suppress(NoctuleError, OSError):  # replaced while it was read
                    values, deviations = self._told(run, layer, frame, version)
                    here = values[row, column], deviations[row, column]
            found.append(here)
        return found

    def _told(self, run: Run, layer: str, frame: int, version: str) -> _Told:
        """A frame's values as the map shows them, and standard deviations to the three digits that a curve can show.

        Kept apart from what tiles are cut of: a click asks for one cell of every frame of a night, at no zoom but its
        own, and reading a night's pages for each click would take half a second.
        """
        key = (run.name, layer, frame, version)
        with self._lock:
            if key in self._tolds:
                self._tolds.move_to_end(key)
                return self._tolds[key]
        scale = SCALES[layer]
        fields = self.fields(run, frame, (scale.variable, scale.sd))
        values = native_values(scale, fields[scale.variable])
        # A layer without a deviation has one that is unknown everywhere, and takes no room.
        sd = fields.get(scale.sd, np.broadcast_to(np.float16(np.nan), values.shape))
        made = values, sd.astype(np.float16, copy=False)
        with self._lock:
            self._tolds[key] = made
            while (
                len(self._tolds) > 1
                and sum(one.nbytes for two in self._tolds.values() for one in two) > _KEPT_TOLD_BYTES
            ):
                self._tolds.popitem(last=False)
        return made

    def _encode(self, run: Run, layer: str, frame: int) -> list[Packed]:
        scale = SCALES[layer]
        if layer in USUAL:
            found = self.unlike(run, layer, frame)
            # So that below the native zoom a pixel has colour where most of its cells differ.
            mixed = np.where(np.abs(found.change) > found.half, 0.0, _UNSURE)
            return pyramid(scale, found.change, mixed, None, self.ground(run.frame))
        if layer in PARTS:
            return self._encode_part(run, layer, frame)
        bounds = (f"{scale.variable}_low", f"{scale.variable}_high")
        fields = self.fields(run, frame, (scale.variable, scale.sd, scale.nearest, *bounds))
        quantity, sd = fields[scale.variable], fields.get(scale.sd)
        if scale.kind == "change":
            sd = _unsure(scale, quantity, fields)
        nearest = fields.get(scale.nearest) if layer == "noise" else None
        return pyramid(scale, quantity, sd, nearest, self.ground(run.frame))

    def _encode_part(self, run: Run, layer: str, frame: int) -> list[Packed]:
        scale = SCALES[layer]
        own = SCALES[PARTS[layer]]
        fields = self.fields(run, frame, (own.variable, own.sd, own.nearest))
        quantity = fields[own.variable]
        sd = fields.get(own.sd, np.full_like(quantity, np.nan))
        nearest = fields.get(own.nearest) if PARTS[layer] == "noise" else None
        if layer in SDS:
            wide = np.where(np.isfinite(quantity), np.exp(sd) if own.kind == "log" else sd, np.nan)
            # No level is averaged as energy here: a deviation in decibels is a plain number.
            return pyramid(replace(scale, unit=""), wide, None, None, self.ground(run.frame))
        half = INTERVAL_SD * sd * (1.0 if layer.endswith("_upper") else -1.0)
        end = quantity * np.exp(half) if own.kind == "log" else quantity + half
        if own.kind == "share":
            end = np.clip(end, own.low, own.high)
        return pyramid(scale, end, sd, nearest, self.ground(run.frame))

    def _read(self, name: str, stamp: tuple[int, ...]) -> Run:
        if name == NOW:
            page, meta = atlas.open_now(self.city)
            # The page looks a step's length back from this moment; on the bar it stands at the step it belongs to.
            times = np.array([] if page is None else [parse_rfc3339(meta["step"])], "datetime64[ms]")
            versions: tuple[str | None, ...] = (str(meta["version"]),) * times.size
            seen = _names(page), meta, self._frame(page), page, _of_shares(page)
            return Run(NOW, str(meta["night"]), stamp, times, versions, *seen)
        if name.startswith(PLAN):
            page, meta = atlas.open_plan(self.city, name.removeprefix(PLAN))
            times = np.array([parse_rfc3339(step) for step in meta["steps"]], "datetime64[ms]")
            versions = (str(meta["version"]),) * times.size
            night = str(meta.get("night", ""))
            seen = _names(page), meta, self._frame(page), None, _of_shares(page)
            return Run(name, night, stamp, times, versions, *seen)
        level = level_of(name)
        data, meta = atlas.open_night(self.city, name.removeprefix(PUBLIC), level)
        times = np.array([parse_rfc3339(step) for step in meta["steps"]], "datetime64[ms]")
        digests = {str(entry["step"]): str(entry["digest"])[:12] for entry in meta["closed"]}
        versions = tuple(digests.get(str(step)) for step in meta["steps"])
        seen = _names(data), meta, self._frame(data), None, _of_shares(data)
        return Run(name, str(meta["night"]), stamp, times, versions, *seen)

    def _frame(self, page: xr.Dataset | None) -> GridFrame:
        if page is None or page.sizes["easting"] < 2:
            return self.frame
        easting, northing = page["easting"].values, page["northing"].values
        cell_m = float(easting[1] - easting[0])
        west, south = float(easting[0]) - cell_m / 2, float(northing[0]) - cell_m / 2
        return GridFrame(self.city.crs, west, south, cell_m, (northing.size, easting.size))


def _unsure(scale: Scale, change: Floats, fields: dict[str, Floats]) -> Floats:
    """An sd of 0 where a difference differs from 0, else beyond all: what cannot be told apart is drawn grey."""
    low, high = fields.get(f"{scale.variable}_low"), fields.get(f"{scale.variable}_high")
    if low is None or high is None:
        if scale.sd in fields:  # the interval of 90 %
            return np.where(np.abs(change) > INTERVAL_SD * fields[scale.sd], 0.0, 9.0)
        return np.where(np.abs(change) >= 0.05, 0.0, 9.0)  # a twentieth of a lux is below what meters resolve
    return np.where((low > 0) | (high < 0), 0.0, 9.0)


def _size(run: Run) -> int:
    return 0 if run.page is None else int(run.page.nbytes)


def _names(page: xr.Dataset | None) -> frozenset[str]:
    return frozenset() if page is None else frozenset(str(name) for name in page.data_vars)


def _of_shares(page: xr.Dataset | None) -> bool:
    if page is None or "safety" not in page:
        return False
    told = page["safety"].attrs
    return bool(told.get("shares", 0)) and not told.get("answers", 0)
