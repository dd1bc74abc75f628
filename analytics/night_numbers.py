"""A night report's numbers for a machine to read: the same that its two pages tell, and none besides."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from analytics.night_facts import NightFacts
from analytics.sleeping import LIMIT_DB, Sleeper
from analytics.usual_differences import BY_CHANCE, RATE
from sensors.night import rfc3339

_LAMP_COLUMNS = ("kind", "asset_id", "cabinet", "street", "lamps", "nights", "passages")
_ENTRY_COLUMNS = ("entry", "kind", "title", "place", "owner", "status", "due")


def numbers(facts: NightFacts) -> dict[str, Any]:
    """Plain values; null where a part is missing."""
    differ = facts.differences
    return {
        "city": facts.city.id,
        "nights": [night.name for night in facts.nights],
        "simulated": facts.simulated,
        "passing": [
            {
                "night": one.night, "busiest": rfc3339(one.busiest), "steps": one.steps,
                "answers": one.answers, "whole": asdict(one.whole), "hours": [asdict(hour) for hour in one.hours],
            }
            for one in facts.passing
        ],
        "differences": {
            "comparisons": len(differ.comparisons), "by_chance": round(differ.expected, 2), "level": BY_CHANCE,
            "raw": differ.raw, "rate": RATE, "lacking": list(differ.lacking),
            "named": [asdict(one) for one in differ.named],
        },
        "sleeping": {"limit_db": LIMIT_DB, "meters": [_meter(one) for one in facts.sleepers]},
        "lamps": None if facts.lamps is None else _rows(facts.lamps, _LAMP_COLUMNS),
        "gaps": None if facts.gaps is None else asdict(facts.gaps),
        "answers": asdict(facts.answers),
        "actions": _rows(facts.journal, _ENTRY_COLUMNS),
    }  # fmt: skip


def _meter(one: Sleeper) -> dict[str, Any]:
    return {
        "device": one.device,
        "mounting": one.mounting,
        "origin": one.origin,
        "exceedance_minutes": one.minutes,
        "laeq_23_07": None if one.level is None else round(one.level, 2),
        "closing_step_db": one.step,
        "Lnight": None if one.year is None or one.year.l_night is None else round(one.year.l_night, 2),
        "share_of_year": None if one.year is None else round(one.year.share_of_year[2], 3),
    }


def _rows(table: Any, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{name: _plain(row[name]) for name in columns} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
