"""What was found when a model was judged, kept beside it for whoever writes or reads about it.

    store/model/<digest>/validation.json, audit.json    {"format", "made", "preset", "sample", and what `--json` prints}

A judgement is kept with the current model if that was fitted to the same answers with the same priors; the digest of a
model is of its own content and does not change. The last one stays.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from analytics.model import current_model, load_model
from sensors.city import City
from sensors.clock import city_clock
from sensors.errors import ModelError
from sensors.night import rfc3339

FORMAT = 1
KINDS = {"validation": "noctule validate", "audit": "noctule audit"}  # and the command that makes it


def keep_judgement(city: City, kind: str, content: dict[str, Any]) -> Path | None:
    """Keep one of KINDS with the current model; None where that was fitted to other answers or with other priors.

    content : plain values, with "preset" and "sample": answers, people, oldest and newest day of what was fitted
    """
    try:
        model = load_model(city)
    except ModelError:
        return None
    perception = model.perception
    fitted = {
        "answers": perception.n_answers,
        "people": perception.n_people,
        "oldest": perception.oldest,
        "newest": perception.newest,
    }
    if content["sample"] != fitted or content["preset"] != perception.preset:
        return None
    path = city.shelf("model") / model.digest / f"{kind}.json"
    whole = {"format": FORMAT, "made": rfc3339(city_clock(city.path).now()), **content}
    beside = path.with_suffix(".json.new")
    beside.write_text(json.dumps(whole, indent=1, ensure_ascii=False), "utf-8")
    beside.replace(path)
    return path


def judgement(city: City, kind: str) -> dict[str, Any] | None:
    """What is kept with the current model; None where nothing is."""
    path = city.shelf("model") / str(current_model(city)["digest"]) / f"{kind}.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ModelError(f"{path} cannot be read ({error}); run '{KINDS[kind]} {city.path}' again") from error
    return content if content.get("format") == FORMAT else None
