"""The model of a city: what earlier nights taught, the fitted response and its support, frozen and named by a digest.

    store/model/<digest>/model.json     numbers and texts; an array stands there as {"array": its name}
    store/model/<digest>/arrays.npz     the arrays
    store/model/current.json            {"format", "digest", "night", "fitted"}: replaced last, that is the commit

The digest is SHA-256 over the content and nothing else: the same readings, answers and places give the same model on
any day. `night` is the night that the model is for; it learnt from those before it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from analytics.response import Perception
from sensors.city import City
from sensors.clock import city_clock
from sensors.errors import ModelError
from sensors.night import Night, rfc3339

if TYPE_CHECKING:
    import pandas as pd

    from analytics.fitting import Progress
    from analytics.knowledge import Knowledge
    from analytics.release import Support

FORMAT = 3  # 2: the place effect is fitted with the response and has an hour; 3: views of groups, applicability
_DIGEST_LENGTH = 16
NO_EFFECT_FROM = 0.8  # overlap of prior and posterior beyond which no effect is claimed (perception.md 7)

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Model:
    """Knowledge, perception and support of a city, for the nights from `night` on."""

    digest: str
    night: str
    places: str  # digest of the surroundings it was fitted in
    knowledge: Knowledge
    perception: Perception
    support: Support

    @property
    def simulated(self) -> bool:
        """Whether simulated answers or sensors taught any of it."""
        learnt = (self.knowledge.light, self.knowledge.noise, self.knowledge.footfall)
        return self.perception.simulated or any(profile.simulated for profile in learnt)

    def summary(self) -> dict[str, Any]:
        """What was fitted, for `noctule fit --json`."""
        perception = self.perception
        return {
            "digest": self.digest,
            "night": self.night,
            "answers": perception.n_answers,
            "people": perception.n_people,
            "effective_answers": round(perception.effective_answers, 1),
            "not_used": perception.not_used,
            "oldest": perception.oldest,
            "newest": perception.newest,
            "origins": list(perception.origins),
            "campaigns": list(perception.campaigns),
            "preset": perception.preset,
            "areas_with_shares": perception.n_shares,
            "frame": perception.classes.frame,
            "simulated": self.simulated,
            "supported_cells": int((self.support.size_m > 0).sum()),
            "cells": int(self.support.size_m.size),
            "terms": json.loads(perception.table().round(4).to_json(orient="records")),
        }

    def text(self, city_name: str) -> str:
        """The fitted response for people: what goes with feeling safer or less safe, before and after asking."""
        perception = self.perception
        title = f"{city_name}: model {self.digest} for the night of {self.night}"
        if not perception.n_answers and perception.n_shares:
            return (
                f"{title}, without answers.\nThe published shares of {perception.n_shares} areas "
                f"('{perception.shares_of}', {perception.shares_told} respondents and more) give the level of how safe "
                f"people feel; what streets within an area differ by is a model's, of its priors. Elsewhere the map is "
                f"hatched."
            )
        if not perception.n_answers:
            return (
                f"{title}, without answers.\nLight, footfall and noise are mapped; how safe people feel is not, "
                f"until 'noctule survey import' brings answers."
            )
        lines = [
            title,
            f"{perception.n_answers} answers of {perception.n_people} people, {perception.oldest} to "
            f"{perception.newest}, {' and '.join(perception.origins)}; with their age they count as "
            f"{perception.effective_answers:.0f}; {perception.not_used} of other instruments are not used",
            f"shown for {perception.classes.frame}",
            *(
                [f"published shares of {perception.n_shares} areas ('{perception.shares_of}') had a part in the level"]
                if perception.n_shares
                else []
            ),
            "",
            "what goes with feeling safer (+) or less safe (-), in sd of how people differ",
            f"{'':<42}{'before asking':>16}{'after asking':>16}{'overlap':>9}",
        ]
        for row in perception.table().to_dict("records"):
            before, after = (
                f"{row[mean]:>+8.2f} ±{row[sd]:>5.2f}" for mean, sd in (("prior_mean", "prior_sd"), ("mean", "sd"))
            )
            said = "" if row["overlap"] <= NO_EFFECT_FROM else "  the answers say little"
            lines.append(f"{row['words']:<42}{before:>16}{after:>16}{row['overlap']:>9.2f}{said}")
        shown, cells = int((self.support.size_m > 0).sum()), self.support.size_m.size
        lines += [
            "",
            f"{shown} of {cells} cells of {self.support.cell_m:g} m have enough people who answered nearby; "
            f"the others are hatched",
            "These go with what people report feeling; they say nothing about crime or about any person.",
        ]
        if self.simulated:
            lines.append("SIMULATED: not what people here said")
        return "\n".join(lines)


def fit(city: City, night: Night, *, preset: str = "standard", progress: Progress | None = None) -> Model:
    """Learn from all nights before `night`, fit the response to the answers before it; make that the current model."""
    from analytics.fitting import fit_perception
    from analytics.knowledge import learn
    from analytics.surroundings import surroundings

    around = surroundings(city)
    knowledge = learn(city, before=night)
    perception = fit_perception(city, around, knowledge, before=night, preset=preset, progress=progress)
    return save_model(city, night, around.digest, knowledge, perception, _support(city, night, around, perception))


def save_model(
    city: City, night: Night, places: str, knowledge: Knowledge, perception: Perception, support: Support
) -> Model:
    """Write a model under its digest and make it the current one."""
    content = {
        "format": FORMAT,
        "night": night.name,
        "places": places,
        "knowledge": knowledge.to_dict(),
        "perception": perception.to_dict(),
        "support": support.to_dict(),
    }
    arrays: Arrays = {}
    text = json.dumps(_plain(content, "", arrays), indent=1, sort_keys=True, allow_nan=True)
    digest = _digest(text, arrays)
    shelf = city.shelf("model")
    folder = shelf / digest
    if not folder.exists():
        beside = shelf / f"{digest}.new"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        (beside / "model.json").write_text(text, "utf-8")
        np.savez_compressed(beside / "arrays.npz", **arrays)  # type: ignore[arg-type]  # names are not allow_pickle
        beside.replace(folder)
    fitted = rfc3339(city_clock(city.path).now())
    current = {"format": FORMAT, "digest": digest, "night": night.name, "fitted": fitted}
    beside = shelf / "current.json.new"
    beside.write_text(json.dumps(current, indent=1), "utf-8")
    beside.replace(shelf / "current.json")
    return Model(digest, night.name, places, knowledge, perception, support)


def load_model(city: City, digest: str | None = None) -> Model:
    """A city's model by its digest, the current one without; ModelError says what to do when there is none."""
    from analytics.knowledge import Knowledge
    from analytics.release import Support

    shelf = city.shelf("model")
    name = current_model(city)["digest"] if digest is None else digest
    folder = shelf / str(name)
    try:
        text = (folder / "model.json").read_text("utf-8")
        with np.load(folder / "arrays.npz", allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        content = _whole(json.loads(text), arrays)
        made = content["format"]
    except FileNotFoundError:
        raise ModelError(f"{city.name} has no model {name}; run 'noctule fit {city.path}'") from None
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{folder} cannot be read ({error}); run 'noctule fit {city.path}'") from error
    if made != FORMAT:
        raise ModelError(f"{folder} has format {made}, this version reads {FORMAT}; run 'noctule fit {city.path}'")
    if _digest(text, arrays) != name:
        raise ModelError(f"{folder} is damaged: its content is not what its name says; run 'noctule fit {city.path}'")
    return Model(
        str(name),
        content["night"],
        content["places"],
        Knowledge.from_dict(content["knowledge"]),
        Perception.from_dict(content["perception"]),
        Support.from_dict(content["support"]),
    )


def current_model(city: City) -> dict[str, Any]:
    """The city's `current.json`: digest, night and when it was fitted."""
    path = city.shelf("model") / "current.json"
    try:
        current: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{city.name} has no fitted model yet; run 'noctule fit {city.path}'") from None
    except ValueError as error:
        raise ModelError(f"{path} cannot be read ({error}); run 'noctule fit {city.path}'") from error
    return current


def _support(city: City, night: Night, around: Any, perception: Perception) -> Support:
    from analytics.fitting import answers_to_fit
    from analytics.release import Support, effective_people, settled
    from analytics.share_evidence import squares_with_shares
    from analytics.views import GROUPS, REST

    rule = city.settings.release

    def laid_out(members: pd.DataFrame) -> tuple[pd.DataFrame, Support]:
        joined = members[settled(members, city.zone, people=rule.minimum_people, share=rule.maximum_share)]
        return joined, Support.of(
            joined, around.grid, around.indoor, people=rule.minimum_people, share=rule.maximum_share
        )

    table, _ = answers_to_fit(city, night)
    joined, support = laid_out(table)
    if not perception.n_answers:
        if not perception.n_shares:
            return support
        return replace(support, shares=squares_with_shares(city, night, perception.own))
    groups = {}
    for group in GROUPS:
        groups[group.name] = laid_out(table[group.among(table)])[1].size_m
        groups[REST + group.name] = laid_out(table[group.beside(table)])[1].size_m
    range_m = sum(2 * length * weight for length, _, weight in perception.nodes)
    n = effective_people(joined, joined["count"].to_numpy(np.float64), support, range_m)
    return replace(support, effective_n=n, groups=groups)


def _plain(value: Any, name: str, arrays: Arrays) -> Any:
    """JSON of a value; its arrays go into `arrays` under the path at which they stand."""
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"array": name}
    if isinstance(value, Mapping):
        return {key: _plain(item, f"{name}.{key}" if name else str(key), arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{name}.{index}", arrays) for index, item in enumerate(value)]
    return value.item() if isinstance(value, np.generic) else value


def _whole(value: Any, arrays: Arrays) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"array"}:
            return arrays[value["array"]]
        return {key: _whole(item, arrays) for key, item in value.items()}
    return [_whole(item, arrays) for item in value] if isinstance(value, list) else value


def _digest(text: str, arrays: Arrays) -> str:
    hasher = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        hasher.update(f"{name}{array.dtype.str}{array.shape}".encode())
        hasher.update(array.tobytes())
    return hasher.hexdigest()[:_DIGEST_LENGTH]
