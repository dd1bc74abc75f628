"""What of a city's answers has been told so far, kept so that what is told next differs from it by enough people.

    store/model/told-<instrument>.json    {"format", "people", "share", "atoms": [{"box", "answers"}]}

It names answers by their ids and leaves the machine no more than they do. An erased one is dropped when statistics are
next told.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analytics.release_plan import Atom, Box, Plan, Told, plan_of
from sensors.city import City
from sensors.clock import city_clock
from sensors.errors import ModelError
from sensors.instrument import NOMINAL, Instrument, load_instrument
from sensors.night import night_of

FORMAT = 1


@dataclass(frozen=True)
class Statistics:
    """Counts and shares of answers that may leave, and what they are of.

    rows : as `release_plan.told_statistics` gives them; told, waiting : answers; origins : of the answers told
    """

    instrument: str
    rows: pd.DataFrame
    told: int
    waiting: int
    origins: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values: sides of the whole city are null."""
        records = []
        for row in self.rows.to_dict("records"):
            row["first_night"] = f"{row['first_night']:%Y-%m-%d}"
            if not np.isfinite(row["side_m"]):
                row |= {"west": None, "south": None, "side_m": None}
            records.append(row)
        return {
            "instrument": self.instrument, "told": self.told, "waiting": self.waiting, "origins": list(self.origins),
            "rows": records,
        }  # fmt: skip


def statistics(city: City, instrument: str, *, by: tuple[str, ...], window: str, zoom_m: float) -> Statistics:
    """Tell counts and shares of a city's answers to one instrument, and keep in mind what was told.

    by, window, zoom_m : as `release_plan.told_statistics`
    """
    tool = _told_by(instrument)
    answers = answers_to_tell(city, tool)
    rule, tonight = city.settings.release, night_of(city_clock(city.path).now(), city.zone)
    plan = plan_of(
        answers, city.zone, tonight=np.datetime64(str(tonight.date), "D"), people=rule.minimum_people,
        share=rule.maximum_share, earlier=told_before(city, tool),
    )  # fmt: skip
    rows = Told(answers, plan, city.zone).statistics(by=by, window=window, zoom_m=zoom_m, safe_from=tool.safe_from)
    keep_told(city, tool, plan)
    ids = frozenset().union(*(atom.answers for atom in plan.atoms))
    of_told = answers["origin"][answers["response_id"].isin(ids)]
    return Statistics(tool.id, rows, len(ids), plan.waiting, tuple(sorted(of_told.unique())))


def answers_to_tell(city: City, tool: Instrument) -> pd.DataFrame:
    """A city's answers to an instrument, an id each; who never goes out alone has said nothing of how it feels."""
    from ingest.archive import answers

    every = pd.DataFrame(answers(city).drop(columns="geometry"))
    here = every[(every["instrument"] == tool.id) & (every["category"] > 0)]
    ids = here["response_id"].astype(str) + "/" + here["item"].astype(str)
    return here.assign(response_id=ids).drop_duplicates("response_id").sort_values("response_id", ignore_index=True)


def told_before(city: City, tool: Instrument) -> Plan | None:
    """What was told of an instrument's answers so far; None where nothing was."""
    path = _path(city, tool)
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != FORMAT:
            raise ModelError(f"{path} has format {content['format']}; this version reads {FORMAT}")
        atoms = []
        for atom in content["atoms"]:
            box = dict(atom["box"])
            classes = {column: tuple(klass) for column, klass in box.pop("classes").items()}
            atoms.append(Atom(Box(**box, classes=classes), frozenset(atom["answers"])))
        return Plan(tuple(atoms), 0, content["people"], content["share"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ModelError(
            f"{path} cannot be read ({problem}); restore it, since without it what is told could be compared with what "
            f"was told before"
        ) from problem


def keep_told(city: City, tool: Instrument, plan: Plan) -> None:
    """Keep in mind what was told, beside and then renamed."""
    path = _path(city, tool)
    path.parent.mkdir(parents=True, exist_ok=True)
    atoms = [{"box": asdict(atom.box), "answers": sorted(atom.answers)} for atom in plan.atoms]
    beside = path.with_suffix(".json.new")
    content = {"format": FORMAT, "people": plan.people, "share": plan.share, "atoms": atoms}
    beside.write_text(json.dumps(content, indent=1), "utf-8")
    beside.replace(path)


def _told_by(instrument: str) -> Instrument:
    tool = load_instrument(instrument)
    if tool.construct in NOMINAL:
        raise ModelError(f"'{instrument}' asks for no feeling that has a safe end, so no share of it can feel safe")
    return tool


def _path(city: City, tool: Instrument) -> Path:
    return city.shelf("model") / f"told-{tool.id}.json"
