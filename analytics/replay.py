"""Replay: past nights computed again from what is stored, and compared, bit by bit, with the pages that live closed.

A night is one Dask task: local threads do them without a scheduler, a cluster's workers with one. Each task opens the
city folder itself (workers share it, as a disk or as a mount), so nothing large travels, and calls the same
`analytics.closing.Desk.close` as the mapper.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from analytics.atlas import Meta, night_meta, night_steps, page_digest, write_night
from analytics.closing import Desk, code_version, cut_of, settings_digest
from analytics.kernels.jit import use_threads
from analytics.model import load_model
from analytics.surroundings import Surroundings, surroundings
from sensors.city import City
from sensors.clock import city_clock
from sensors.errors import ModelError, NoctuleError, StoreError
from sensors.night import Night, parse_rfc3339, rfc3339

Cut = Literal["close", "all"]


@dataclass(frozen=True)
class NightReplay:
    """What came of replaying one night."""

    night: str
    steps: int  # computed
    equal: int  # bit-equal to the closed page
    differing: list[str] = field(default_factory=list)  # steps whose closed page has other bytes
    unclosed: int = 0  # computed steps that had no closed page to compare with
    records: int = 0  # readings that the last step was made from
    model: str = ""
    hindsight: bool = False  # the model learnt from nights after this one
    places_changed: bool = False  # lamps, sites or streets are not what they were when the pages were closed
    settings_changed: bool = False  # [release] or [night] of city.toml say something else
    code_changed: bool = False  # other source, packages or processor than those that closed the pages
    version: int | None = None  # of the night's pages, when they were written
    refused: str = ""  # why the night could not be computed

    @property
    def sentence(self) -> str:
        """What came of it, for people."""
        if self.refused:
            return f"{self.night}: not replayed: {self.refused}"
        parts = []
        if self.equal:
            parts.append(f"{self.equal} steps bit-equal to their closed pages")
        if self.differing:
            parts.append(
                f"{len(self.differing)} steps differ ({', '.join(self.differing[:4])}{'…' * (len(self.differing) > 4)})"
            )
        if self.unclosed:
            parts.append(f"{self.unclosed} steps had no closed page")
        if self.differing and self.places_changed:
            parts.append("the city's places have changed since")
        if self.differing and self.settings_changed:
            parts.append("[night] or [release] of city.toml have changed since")
        if self.differing and self.code_changed:
            parts.append("they were closed by other code")
        if self.hindsight:
            parts.append("with a model that learnt from later nights")
        if self.version is not None:
            parts.append(f"written as version {self.version}")
        return f"{self.night}: {'; '.join(parts)}"

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it with --json."""
        return asdict(self)


def replay(
    city: City,
    from_: Night,
    to: Night,
    *,
    scheduler: str | None = None,
    cut: Cut = "close",
    write: bool = False,
) -> list[NightReplay]:
    """Compute the nights from one to another again, both included, in order.

    scheduler : address of a Dask scheduler, 'tcp://host:port'; local threads without
    cut : 'close' takes the readings that live had at each step's close, 'all' everything received since (a new run)
    write : commit the computed pages as a new version where they differ; nights without any page are always written
    """
    names = _names(from_, to)
    written = rfc3339(city_clock(city.path).now())
    tasks = [(str(city.path.resolve()), name, cut, write, written) for name in names]
    if scheduler is None:
        return _on_threads(tasks)
    return _on_cluster(tasks, scheduler)


def replay_night(
    city_path: str, name: str, cut: Cut, write: bool, written: str, around: Surroundings | None = None
) -> NightReplay:
    """One night: the task that Dask runs; a refusal is told in the result, so that the other nights go on.

    around : the city's surroundings, where the caller has them already
    """
    city = City.open(Path(city_path))
    night = Night.named(name, city.zone)
    try:
        with use_threads(1):  # nights share the processors out among themselves
            return _replayed(city, night, cut, write, written, around or surroundings(city))
    except NoctuleError as refusal:
        return NightReplay(name, 0, 0, refused=str(refusal))


def _replayed(city: City, night: Night, cut: Cut, write: bool, written: str, around: Surroundings) -> NightReplay:
    from ingest.archive import night_records

    meta = night_meta(city, night)
    now = parse_rfc3339(written)
    steps = [step for step in night_steps(city, night) if cut_of(city, step) <= now]
    if not steps:
        raise StoreError(f"none of its steps has closed yet (it is {written} in the city)")
    desk, hindsight = _desk(city, night, meta, around)
    records = night_records(city, night)
    if not len(records) and meta is None:
        raise StoreError("the archive has no readings of it; 'noctule history import' brings past nights in")
    everything = records["received"].max() if cut == "all" and len(records) else None
    known = {} if meta is None else {entry["step"]: entry for entry in meta["closed"]}

    equal, unclosed, last = 0, 0, 0
    differing: list[str] = []
    pages: list[tuple[xr.Dataset, Meta]] = []
    for step in steps:
        text = rfc3339(step)
        # A closed page names its own cut; whoever changed `close_after_minutes` since can still reproduce it.
        own = parse_rfc3339(known[text]["cut"]) if text in known else None
        page, made = desk.close(records, step, own if everything is None else everything)
        last = made["records"]
        if text not in known:
            unclosed += 1
        elif known[text]["digest"] == page_digest(page):
            equal += 1
        else:
            differing.append(text)
        pages.append((page, made | {"written": written}))
    commit = meta is None or (write and bool(differing or unclosed))
    done = write_night(city, night, pages) if commit else None
    return NightReplay(
        night.name,
        len(steps),
        equal,
        differing,
        unclosed,
        last,
        desk.model.digest,
        hindsight,
        meta is not None and meta["places"] != desk.surroundings.digest,
        meta is not None and meta.get("settings") != settings_digest(city),
        meta is not None and meta["code"] != code_version(),
        None if done is None else done["version"],
    )


def _desk(city: City, night: Night, meta: Meta | None, around: Surroundings) -> tuple[Desk, bool]:
    """With the model that the pages name; without pages the newest that had not seen the night, else the current.

    Also says whether the model learnt from later nights.
    """
    if meta is None:
        model = load_model(city, _model_before(city, night))
    else:
        try:
            model = load_model(city, meta["model"])
        except ModelError as error:
            raise ModelError(f"its pages were made with model {meta['model']}, which is gone ({error})") from error
    return Desk(city, around, model), model.night > night.name


def _model_before(city: City, night: Night) -> str | None:
    """The newest model that learnt from nights before this one only; None (the current one) where there is none."""
    found = []
    for file in sorted(city.shelf("model").glob("*/model.json")):
        learnt_until = json.loads(file.read_text("utf-8")).get("night", "")
        if learnt_until <= night.name:
            found.append((learnt_until, file.stat().st_mtime, file.parent.name))
    return max(found)[2] if found else None


def _on_threads(tasks: list[tuple[str, str, Cut, bool, str]]) -> list[NightReplay]:
    from dask.base import compute
    from dask.delayed import delayed

    # Laid out once for all nights; drawing polygons from several threads at once is not safe in rasterio.
    around = surroundings(City.open(Path(tasks[0][0])))
    night = delayed(partial(replay_night, around=around), pure=False)
    workers = min(len(tasks), os.cpu_count() or 1)
    done = compute(*(night(*task) for task in tasks), scheduler="threads", num_workers=workers)  # type: ignore[no-untyped-call]  # dask has no types
    return list(done)


def _on_cluster(tasks: list[tuple[str, str, Cut, bool, str]], scheduler: str) -> list[NightReplay]:
    from distributed import Client

    try:
        client = Client(scheduler, timeout="10s")  # type: ignore[no-untyped-call]  # distributed has no types
    except (OSError, ValueError, TimeoutError) as error:
        raise StoreError(
            f"no Dask scheduler answers at {scheduler} ({error}); start one with 'dask scheduler'"
        ) from error
    with client:
        futures = [client.submit(_on_worker, *task, pure=False) for task in tasks]
        return list(client.gather(futures))  # type: ignore[no-untyped-call]  # distributed has no types


def _on_worker(city_path: str, name: str, cut: Cut, write: bool, written: str) -> NightReplay:
    """A night on a cluster's worker, whose BLAS must run on one thread as everywhere: sums keep their order then."""
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        return NightReplay(
            name, 0, 0, refused="the worker's BLAS has several threads; set OPENBLAS_NUM_THREADS=1 there"
        )
    return replay_night(city_path, name, cut, write, written)


def _names(from_: Night, to: Night) -> list[str]:
    return list(_between(from_, to))


def _between(from_: Night, to: Night) -> Iterator[str]:
    if to.date < from_.date:
        raise StoreError(f"the night {to.name} lies before {from_.name}; give the earlier one as --from")
    night = from_
    while night.date <= to.date:
        yield night.name
        night = night.next()
