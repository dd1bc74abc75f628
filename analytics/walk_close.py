"""Closes a walk: its answers into the map, its actions into the journal, and a compte rendu in English and French.

<city>/walks/<walk-id>/closed.json    {"format", "before", "after"}: models by digest, so that a walk that is closed
                                      again compares with the same map as the first time
<city>/walks/<walk-id>/report.{en,fr}.{html,pdf}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analytics.model import Model, current_model, fit, load_model
from analytics.phrases import LANGUAGES, phrases
from analytics.walk_actions import actions_in_journal, into_journal, read_actions
from analytics.walk_report import Report, report_html, report_pdf
from analytics.walk_route import route_of
from analytics.walk_sureness import Sureness, model_before, sureness
from analytics.walk_told import WalkTold, tell_walk
from sensors.city import City
from sensors.errors import ModelError, WalkError
from sensors.night import Night
from sensors.walk import Walk, walk_folder

if TYPE_CHECKING:
    from analytics.fitting import Progress

FORMAT = 1


@dataclass(frozen=True)
class Closed:
    """What became of a closing."""

    told: WalkTold
    sure: Sureness | None
    fitted: bool  # whether the model was fitted anew
    entries: int  # new in the journal
    actions: int  # of the walk in the journal
    files: list[Path]

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it with --json; what may not be told is null."""
        sure = self.sure
        return {
            "people": self.told.people,
            "answers": self.told.answers,
            "fitted": self.fitted,
            "width_before": None if sure is None or sure.before is None else round(sure.before, 1),
            "width_after": None if sure is None or sure.after is None else round(sure.after, 1),
            "stops_newly_shown": None if sure is None else sure.newly,
            "stops_hatched": None if sure is None else sure.hatched,
            "footfall_shown_before": None if sure is None else round(sure.city_before, 2),
            "footfall_shown_after": None if sure is None else round(sure.city_after, 2),
            "journal_entries_new": self.entries,
            "actions": self.actions,
            "files": [str(file) for file in self.files],
        }

    def text(self) -> str:
        """For people."""
        people = "fewer than ten people" if self.told.people is None else f"{self.told.people} people"
        lines = [people + " took part" if self.told.kept else "nobody's answers of this walk are kept yet"]
        if self.sure is None:
            lines.append("the map is as it was: closed without a new fit")
        else:
            lines.append(
                f"the map is shown for {self.sure.city_after:.0%} of the night's footfall, before the walk it was "
                f"{self.sure.city_before:.0%}; around {self.sure.newly} of the stops it is new"
            )
        lines.append(f"{self.actions} actions in the journal, {self.entries} entries of it new")
        return "\n".join([*lines, *(str(file) for file in self.files)])


def close_walk(
    city: City, walk: Walk, *, actions: Path | None = None, refit: bool = True, progress: Progress | None = None
) -> Closed:
    """Close a walk whose answers are kept; closing it again changes nothing twice.

    actions : a CSV of what was agreed; refit : fit the map anew where it has not all of the walk's answers in it
    """
    route = route_of(city, walk)
    agreed = read_actions(actions, city, walk, route) if actions is not None else []  # refused before the long work
    folder = walk_folder(city, walk.id)
    before = _before(city, walk, folder)
    after = _after(city, walk, refit, progress)
    if after is not None:
        _note(folder, before, after[0])
    sure = sureness(city, walk, route, before, after[0]) if after is not None else None
    told = tell_walk(city, walk)
    entries, _ = into_journal(city, walk, route, agreed)
    standing = actions_in_journal(city, walk, route)
    files = _written(folder, Report(city, walk, route, told, sure, standing))
    return Closed(told, sure, after is not None and after[1], entries, len(standing), files)


def _before(city: City, walk: Walk, folder: Path) -> Model | None:
    """The map that the walk is compared with: that of its first closing, where it is still there."""
    try:
        noted = json.loads((folder / "closed.json").read_text("utf-8"))
        if noted["format"] != FORMAT:
            raise WalkError(f"{folder / 'closed.json'} has format {noted['format']}; this version reads {FORMAT}")
        return load_model(city, str(noted["before"])) if noted["before"] else None
    except (FileNotFoundError, ModelError):
        return model_before(city, walk)
    except (ValueError, KeyError, TypeError) as error:
        raise WalkError(f"{folder / 'closed.json'} cannot be read ({error}); remove it and close again") from error


def _after(city: City, walk: Walk, refit: bool, progress: Progress | None) -> tuple[Model, bool] | None:
    """The model with the walk's answers in it, and whether it was fitted now; None without."""
    night = _night_after(city, walk)
    if not refit:
        try:
            model = load_model(city)
        except ModelError:
            return None
        return (model, False) if walk.campaign in model.perception.campaigns else None
    return fit(city, night, progress=progress), True


def _night_after(city: City, walk: Walk) -> Night:
    """The night for which the map learns from the walk's: the next one, or the present model's where that is later."""
    following = Night.named(walk.date.isoformat(), city.zone).next()
    try:
        current = Night.named(str(current_model(city)["night"]), city.zone)
    except ModelError:
        return following
    return max(following, current, key=lambda night: night.date)


def _note(folder: Path, before: Model | None, after: Model) -> None:
    content = {"format": FORMAT, "before": before.digest if before is not None else "", "after": after.digest}
    _write(folder / "closed.json", json.dumps(content, indent=1).encode())


def _written(folder: Path, report: Report) -> list[Path]:
    files = []
    for language in LANGUAGES:
        say = phrases(language)
        for name, content in (
            (f"report.{language}.html", report_html(report, say).encode()),
            (f"report.{language}.pdf", report_pdf(report, say)),
        ):
            _write(folder / name, content)
            files.append(folder / name)
    return files


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(content)
    beside.replace(path)
