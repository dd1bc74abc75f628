"""The mapper: one process that keeps `now` fresh, closes each step when it is due, and never falls behind silently.

It follows what ingest stores and nothing else. `now` is provisional and replaced whenever readings came, at most five
times a second; a closed page is made by `analytics.closing` and never touched again, unless ingest hands on a reading
that it had received before the cut. Where there is nothing to show, `now` says why instead.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from analytics.atlas import Meta, mapper_lock, night_meta, night_steps, write_now, write_step
from analytics.closing import Desk, changed_steps, cut_of, due_steps, step_length
from analytics.publishing import publish
from sensors.city import City
from sensors.clock import Clock, city_clock
from sensors.errors import ModelError, NoctuleError
from sensors.flags import usable
from sensors.night import Night, night_of, rfc3339
from sensors.reading import Records, empty_records, unique_by_key

if TYPE_CHECKING:
    from analytics.live_answers import LiveAnswers
    from ingest.archive import Follower

RENDER_EVERY_S = 0.2  # wall; a burst of messages costs one page instead of many, and all of them a quarter of a core
REFRESH_EVERY_S = 2.0  # wall; without readings `now` still ages: silent sensors must be seen to fall silent
REFRESH_CITY_S = 60.0  # city time that must have passed as well: at normal speed once a minute
GRACE_S = 1.0  # wall, after a cut, where no ingest tells how far it has stored (imported history only)
PATIENCE_S = 15.0  # wall, after a cut: an ingest that is stopped does not keep a step open for longer
HEALTH_EVERY_S = 1.0
ANSWERS_EVERY_S = 30.0
MODEL_EVERY_S = 2.0
PUBLIC_EVERY_S = 30.0
SILENT_AFTER = np.timedelta64(35 * 60_000, "ms")  # two reports of a quarter of an hour missed, and some delay
_KEEP_RECENT = np.timedelta64(2 * 3600_000, "ms")
_MANY = 20_000
_IDLE_S = 0.05

SENTENCES = {
    "starting": "The mapper is starting.",
    "live": "Expected from tonight's conditions.",
    "before-dusk": "The map begins at {begins}.",
    "after": "The night is over; its pages are closed.",
    "no-model": "No model has been fitted yet; 'noctule fit' does it.",
    "no-answers": "Nobody has answered yet: light, noise and footfall are shown, how safe people feel is not.",
    "shares-alone": "Nobody has answered yet: published shares give the level of areas, a model that of streets.",
    "no-readings": "No sensor has reported tonight: everything shown is modelled.",
    "catching-up": "{count} steps are overdue and are being closed in order.",
    "trouble": "The last page could not be made: {error}",
    "stopped": "The mapper is stopped.",
}


def run(city: City, *, clock: Clock | None = None) -> None:
    """Map a city until asked to stop (SIGTERM or Ctrl-C); ShelfLocked when another mapper already does."""
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: asked.append(got))
    with mapper_lock(city):
        mapper = Mapper(city, clock or city_clock(city.path))
        mapper.say()
        try:
            while not asked:
                mapper.look()
                time.sleep(_IDLE_S)
        finally:
            mapper.stop()


@dataclass
class Mapper:
    """The mapper's state between two looks; `look` does what is due and returns at once."""

    city: City
    clock: Clock
    monotonic: Callable[[], float] = time.monotonic
    open_desk: Callable[[City, str | None], Desk] = Desk.open
    state: str = field(default="starting", init=False)
    sentence: str = field(default=SENTENCES["starting"], init=False)
    _night: Night | None = field(default=None, init=False)
    _desk: Desk | None = field(default=None, init=False)
    _live: LiveAnswers | None = field(default=None, init=False)
    _now_desk: Desk | None = field(default=None, init=False)  # the desk, moved by tonight's answers
    _follower: Follower | None = field(default=None, init=False)
    _recent: Records = field(default_factory=empty_records, init=False)
    _heard: int = field(default=0, init=False)
    _unseen: np.datetime64 | None = field(default=None, init=False)
    _fresh: bool = field(default=False, init=False)
    _recheck: bool = field(default=False, init=False)
    _shown: np.datetime64 | None = field(default=None, init=False)
    _due: dict[str, float] = field(default_factory=dict, init=False)
    _answers: dict[str, Any] = field(default_factory=dict, init=False)
    _lag_s: float = field(default=0.0, init=False)
    _render_ms: float = field(default=0.0, init=False)
    _closed: str | None = field(default=None, init=False)
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=500), init=False)

    def look(self) -> None:
        """Do what is due now: take readings in, close steps, replace `now`, say how it is."""
        try:
            self._work()
        except (NoctuleError, OSError) as error:
            if isinstance(error, ModelError):
                self._set("no-model")
            else:
                self._set("trouble", error=error)
            self._after("trouble", 1.0)
        if self._is_due("health", HEALTH_EVERY_S):
            self.say()

    def stop(self) -> None:
        """Leave the folder as it is and say so."""
        if self._follower is not None:
            self._follower.close()
        self._set("stopped")
        self.say()

    # --- one look

    def _work(self) -> None:
        if self.monotonic() < self._due.get("trouble", -np.inf):
            return
        now = self.clock.now()
        night = night_of(now, self.city.zone)
        if self._night is None or night != self._night:
            self._begin(night)
        self._take_in(now)
        if self._desk is None and self._is_due("model", MODEL_EVERY_S):
            self._load_model(night)
        overdue = self._close_due(now)
        self._set(*self._state_of(now, night, overdue))
        if self._is_due("live answers", ANSWERS_EVERY_S):
            self._follow_answers(now)
        if self._render_due(now):
            self._render(now, night)
        if self._is_due("public", PUBLIC_EVERY_S):
            publish(self.city, now)

    def _begin(self, night: Night) -> None:
        """A night begins: another noon, or the mapper's start."""
        from ingest.archive import follow

        if self._follower is not None:
            self._follower.close()
        self._night, self._desk, self._recent, self._heard = night, None, empty_records(), 0
        self._now_desk = self._live = None
        self._follower = follow(self.city, since=night)
        self._recheck = True
        self._fresh = True
        self._shown = None
        self._due.pop("model", None)

    def _load_model(self, night: Night) -> None:
        """The model that the night's pages name already, else the current one: frozen from noon to noon."""
        meta = night_meta(self.city, night)
        try:
            self._desk = self.open_desk(self.city, None if meta is None else meta["model"])
        except ModelError:
            if meta is None:
                self._set("no-model")
                return
            self._desk = self.open_desk(self.city, None)
        self._fresh = True

    def _take_in(self, now: np.datetime64) -> None:
        assert self._follower is not None and self._night is not None
        batch = self._follower.poll()
        batch = batch[(batch["time"] >= self._night.start) & (batch["time"] < self._night.end)]
        if not len(batch):
            return
        self._heard += len(batch)
        self._fresh = True
        newest = batch["received"].max()
        self._unseen = newest if self._unseen is None else min(self._unseen, newest)
        if self._closed is not None and rfc3339(batch["received"].min()) <= self._closed:
            self._recheck = True
        self._recent = unique_by_key(np.concatenate([self._recent, batch]))
        if len(self._recent) > _MANY:
            self._recent = _recent_and_last(self._recent, now - _KEEP_RECENT)

    def _close_due(self, now: np.datetime64) -> int:
        """Close the step that has waited longest; how many more are overdue."""
        if self._desk is None or self._night is None:
            return 0
        complete = self._complete_until(now)
        left = 0
        for night in (self._night.previous(), self._night):
            meta = night_meta(self.city, night)
            if night != self._night and meta is None:
                continue  # not lived through by a mapper: 'noctule replay' makes its pages
            due = due_steps(self.city, night, complete, meta)
            if night == self._night and meta is not None and self._recheck and not len(due):
                due = self._changed(night, meta)
            if len(due) and not left:
                self._close(night, due[0])
                due = due[1:]
            left += len(due)
            if len(due):
                self._lag_s = max(0.0, float((now - cut_of(self.city, due[0])) / np.timedelta64(1, "s")))
        if not left:
            self._lag_s = 0.0
        return left

    def _complete_until(self, now: np.datetime64) -> np.datetime64:
        """City time up to which everything received can be read, so that a step with a cut until then can close."""
        from ingest.archive import stored_until

        def ago(wall_s: float) -> np.datetime64:
            moment: np.datetime64 = now - np.timedelta64(round(wall_s * self.clock.speed * 1000), "ms")
            return moment

        stored = stored_until(self.city)
        if stored is None:
            return ago(GRACE_S)
        return min(now, max(stored - np.timedelta64(1, "ms"), ago(PATIENCE_S)))

    def _changed(self, night: Night, meta: Meta) -> np.ndarray[Any, np.dtype[np.datetime64]]:
        from ingest.archive import night_records

        changed = changed_steps(self.city, meta, night_records(self.city, night))
        self._recheck = len(changed) > 1
        return changed

    def _close(self, night: Night, step: np.datetime64) -> None:
        from ingest.archive import night_records

        assert self._desk is not None
        cut = cut_of(self.city, step)
        page, meta = self._desk.close(night_records(self.city, night, received_until=cut), step)
        entry = write_step(self.city, night, page, meta | {"written": rfc3339(self.clock.now())})
        self._closed = max(self._closed or "", str(entry["cut"]))

    # --- now

    def _follow_answers(self, now: np.datetime64) -> None:
        """Let answers given tonight move `now`; closed pages keep the model that the night began with."""
        if self._desk is None:
            return
        if self._live is None or self._live.desk is not self._desk:
            from analytics.live_answers import LiveAnswers

            self._live = LiveAnswers(self._desk)
        moved = self._live.look(now)
        self._fresh = self._fresh or moved is not self._now_desk
        self._now_desk = moved

    def _state_of(self, now: np.datetime64, night: Night, overdue: int) -> tuple[str, dict[str, Any]]:
        steps = night_steps(self.city, night)
        if self._desk is None:
            return "no-model", {}
        if overdue > 1:
            return "catching-up", {"count": overdue}
        if now < steps[0]:
            return "before-dusk", {"begins": self.city.settings.night.from_}
        if now >= steps[-1] + step_length(self.city):
            return "after", {}
        if not self._heard:
            return "no-readings", {}
        if not self._answers_summary()["count"]:
            desk = self._desk
            return "shares-alone" if desk is not None and desk.model.perception.shares_alone else "no-answers", {}
        return "live", {}

    def _phase(self, now: np.datetime64, night: Night) -> str:
        steps = night_steps(self.city, night)
        if now < steps[0]:
            return "before-dusk"
        return "after" if now >= steps[-1] + step_length(self.city) else "live"

    def _render_due(self, now: np.datetime64) -> bool:
        waited = self.monotonic() - self._due.get("render", -np.inf)
        if waited < RENDER_EVERY_S:
            return False
        if self._fresh or self._shown is None or now < self._shown:
            return True
        aged = float((now - self._shown) / np.timedelta64(1, "s"))
        return waited >= REFRESH_EVERY_S and aged >= REFRESH_CITY_S

    def _render(self, now: np.datetime64, night: Night) -> None:
        began = self.monotonic()
        phase = self._phase(now, night)
        heard, self._unseen = self._unseen, None
        page = None
        if self._desk is not None and phase == "live":
            known = self._recent[self._recent["received"] <= now]
            page = (self._now_desk or self._desk).page(known, now - step_length(self.city))
        write_now(self.city, page, self._now_meta(now, night, phase))
        self._fresh = False
        self._shown = now
        self._due["render"] = self.monotonic()
        self._render_ms = (self.monotonic() - began) * 1000
        if page is not None and heard is not None:
            late = float((self.clock.now() - heard) / np.timedelta64(1, "s")) / self.clock.speed
            self._latencies.append(max(0.0, late))

    def _now_meta(self, now: np.datetime64, night: Night, phase: str) -> Meta:
        steps = night_steps(self.city, night)
        current = steps[max(0, int(np.searchsorted(steps, now, side="right")) - 1)]
        nobody = {"simulated": self.city.simulated, "model": None, "attribution": list(self.city.settings.attribution)}
        made = nobody if self._desk is None else self._desk.meta  # whose attributions stand in files: read once
        return {
            **made,
            "night": night.name,
            "step": rfc3339(current),
            "as_of": rfc3339(now),
            "state": phase,
            "mapper": self.state,
            "sentence": self.sentence,
            "sensors": self._sensors(now),
            "answers": self._answers_summary(),
        }

    def _sensors(self, now: np.datetime64) -> dict[str, Any]:
        """The newest reading, and how many of the sites that should report have done so lately."""
        table = self.city.places("sites")
        valid = ~(table["valid_from"] > now) & ~(table["valid_to"] <= now)  # NaT: since ever, still
        expected = table.loc[valid, "site"].to_numpy()
        good = self._recent[usable(self._recent["flags"])]
        lately = np.unique(good["site"][good["time"] > now - SILENT_AFTER])
        live = int(np.isin(expected, lately).sum())
        newest = rfc3339(good["time"].max()) if len(good) else None
        return {"newest": newest, "live": live, "silent": len(expected) - live}

    def _answers_summary(self) -> dict[str, Any]:
        if self._is_due("answers", ANSWERS_EVERY_S) or not self._answers:
            from ingest.archive import answers_summary

            told = answers_summary(self.city)
            self._answers = {
                "count": told["answers"],
                "newest": None if told["newest"] is None else rfc3339(np.datetime64(told["newest"], "ms")),
                "oldest": None if told["oldest"] is None else rfc3339(np.datetime64(told["oldest"], "ms")),
            }
        return self._answers

    # --- saying how it is

    def _set(self, state: str, words: dict[str, Any] | None = None, /, **more: Any) -> None:
        self.state = state
        self.sentence = SENTENCES[state].format(**(words or {}), **more)

    def _is_due(self, what: str, every_s: float) -> bool:
        if self.monotonic() < self._due.get(what, -np.inf):
            return False
        self._after(what, every_s)
        return True

    def _after(self, what: str, wait_s: float) -> None:
        self._due[what] = self.monotonic() + wait_s

    def say(self) -> None:
        """Write how it is into `store/health/map.json`."""
        p95 = float(np.quantile(list(self._latencies), 0.95)) if self._latencies else None
        content = {
            "state": self.state,
            "step": self._closed,
            "lag_s": round(self._lag_s, 1),
            "last_render_ms": round(self._render_ms, 1),
            "message_to_page_p95_s": None if p95 is None else round(p95, 3),
            "readings": self._heard,
            "written": rfc3339(self.clock.now()),
            "sentence": self.sentence,
        }
        path = self.city.shelf("health", "map.json")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_suffix(".json.new")
            beside.write_bytes(msgspec.json.encode(content))
            beside.replace(path)
        except OSError:
            return  # a full disk: the page that stands keeps saying how old it is


def _recent_and_last(records: Records, since: np.datetime64) -> Records:
    """Readings that end after `since`, and of each site and quantity the last usable one: all that `now` looks at."""
    good = np.flatnonzero(usable(records["flags"]))
    last = good[::-1]
    pairs = records["site"][last].astype(np.int64) * 256 + records["quantity"][last]
    _, first = np.unique(pairs, return_index=True)
    keep = records["time"] > since
    keep[last[first]] = True
    return records[keep]
