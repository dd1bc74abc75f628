"""Tonight's answers on tonight's map: `now` moves with them, before the refit at noon takes them in for good.

Each new answer is one exact rank-2 step of the joint fit (`place_update`). What it says of the whole city counts at
once; what it says of its own place waits until ten people have answered in the same 400 m cell (`release.joining`), so
that two pages a minute apart differ around a place by nobody's answers or by ten people's. Which answers have joined is
kept beside the atlas, so that a restart of the mapper moves nothing. Closed pages keep the model of the night's begin.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analytics import covariates
from analytics.fitting import answers_to_fit, fields_at_answers, ladders_in, rows_of
from analytics.place_effect import moved_effect
from analytics.place_update import moved_by
from analytics.release import joining
from sensors.city import City
from sensors.night import Night

if TYPE_CHECKING:
    from analytics.closing import Desk

_STEP_MS = 900_000  # answers of a simulated city may be of a quarter of an hour to come
MOST_ANSWERS = 2_000  # of a night; what is more waits for noon, and the mapper keeps its pace


@dataclass
class LiveAnswers:
    """A desk that follows tonight's answers; `look` gives the desk for `now`."""

    desk: Desk
    _stamp: tuple[Any, ...] = ()
    _moved: Desk | None = None

    def look(self, now: np.datetime64) -> Desk:
        """The desk with all answers given since the model's night began and until now; the same one if none came."""
        stamp = now.astype("datetime64[ms]").astype(np.int64) // _STEP_MS, *_stamp_of(self.desk.city)
        if stamp != self._stamp or self._moved is None:
            self._stamp, self._moved = stamp, self._with_answers(now)
        return self._moved

    def _with_answers(self, now: np.datetime64) -> Desk:
        desk, perception = self.desk, self.desk.model.perception
        if perception.fit is None:
            return desk
        begins = Night.named(desk.model.night, desk.city.zone).start
        table, _ = answers_to_fit(desk.city, None, since=begins)
        ladders = ladders_in(perception)
        asked = table["instrument"].isin([ladder.instrument for ladder in ladders]).to_numpy()
        table = table[asked & (table["time"].to_numpy() <= now)].head(MOST_ANSWERS).reset_index(drop=True)
        if not len(table):
            return desk
        city = desk.city
        joined = _joined(city, desk.model.digest, table)
        # Steps depend on their order a little, and where somebody waits must not show in it.
        waits = ~table["response_id"].isin(joined).to_numpy()
        table = table.iloc[np.argsort(waits, kind="stable")].reset_index(drop=True)
        raw = fields_at_answers(city, desk.surroundings, desk.model.knowledge, table)
        held = perception.scales.features(raw)
        design = covariates.design(table, held, city.zone)
        local = table["response_id"].isin(joined).to_numpy()
        local = local & perception.fit.region.holds(table["easting"].to_numpy(), table["northing"].to_numpy())
        weight = table["count"].to_numpy(np.float64)
        moved = moved_by(perception.fit, rows_of(table, design, ladders, weight, local, city))
        size = perception.mean.size
        after = replace(
            perception,
            mean=moved.fit.mean[:size],
            covariance=moved.fit.covariance[:size, :size],
            own=moved_effect(perception.own, desk.surroundings.grid, perception.fit, moved),
        )
        return replace(desk, model=replace(desk.model, perception=after))


def _joined(city: City, model: str, table: pd.DataFrame) -> frozenset[str]:
    """Which of tonight's answers speak of their own place, as it was and with those that have become enough."""
    rule = city.settings.release
    file = city.shelf("atlas") / "joined.json"
    before = frozenset(_read(file, model))
    after = joining(table, before, people=rule.minimum_people, share=rule.maximum_share)
    if after != before:
        beside = file.with_suffix(".json.new")
        beside.write_text(json.dumps({"model": model, "joined": sorted(after)}), "utf-8")
        beside.replace(file)
    return after


def _read(file: Any, model: str) -> Iterable[str]:
    try:
        kept = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return ()
    return kept.get("joined", ()) if isinstance(kept, dict) and kept.get("model") == model else ()


def _stamp_of(city: City) -> tuple[Any, ...]:
    """What changes whenever answers come or go: names, times and sizes of the campaigns' files."""
    shelf = city.shelf("answers")
    files = sorted(shelf.glob("*.parquet")) if shelf.is_dir() else []
    stamps = []
    for file in files:
        try:
            status = file.stat()
        except OSError:  # removed meanwhile
            continue
        stamps.append((file.name, status.st_mtime_ns, status.st_size))
    return tuple(stamps)
