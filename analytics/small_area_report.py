"""What published shares say of the areas of a city, and each area foretold from the others: in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analytics.small_area import Estimate, LeftOut, SmallAreas, left_out, sample_sizes, small_areas
from sensors.area_share import ALL
from sensors.errors import ModelError

if TYPE_CHECKING:
    from sensors.city import City

ALLOWED = 0.06  # what an area may differ from its foretelling by, beside its sampling error


@dataclass(frozen=True)
class Question:
    """One question of the shares: what was fitted, and how people spell its areas."""

    name: str
    light_state: str
    fitted: SmallAreas
    words: dict[str, str]
    published: dict[str, float]


@dataclass(frozen=True)
class SmallAreaReport:
    """Each question's areas, sexes and ages."""

    city: str
    questions: tuple[Question, ...]
    simulated: bool

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it with --json."""
        return {"city": self.city, "simulated": self.simulated, "questions": [_plain(one) for one in self.questions]}

    def text(self) -> str:
        """A table for each question."""
        lines = [f"{self.city}: share who feel safe by published shares, drawn to the city where few were asked"]
        for one in self.questions:
            fitted = one.fitted
            lines += [
                "",
                f"{one.name} ({one.light_state}), {fitted.years[0]} to {fitted.years[-1]}",
                f"{'area':<52}{'published':>10}{'share':>8}{'90 % interval':>16}{'asked':>7}",
            ]
            for place, area in enumerate(fitted.areas):
                lines.append(
                    f"{one.words[area]:<52}{one.published[area]:>10.1%}{_said(fitted.share(area))}"
                    f"{fitted.told[place].sum():>7.0f}"
                )
            lines.append(f"{'any other area of the city':<52}{'':>10}{_said(fitted.share(''))}")
            for partition, groups in fitted.groups.items():
                lines.append(f"of these areas together, by {partition.replace('_band', '')}")
                lines += [f"  {code:<50}{'':>10}{_said(fitted.group_share(ALL, partition, code))}" for code in groups]
            area_sd, year_sd, extra_sd = fitted.sds
            lines.append(
                f"areas differ by {area_sd:.2f}, years by {year_sd:.2f}, an area from year to year by {extra_sd:.2f} sd"
            )
            lines += list(fitted.notes)
        lines += ["", "What streets within an area differ by is not in these shares."]
        if self.simulated:
            lines.append("SIMULATED: not what people here said")
        return "\n".join(lines)


@dataclass(frozen=True)
class LeftOutReport:
    """Each area of each question foretold from the others."""

    city: str
    questions: tuple[tuple[str, str, tuple[LeftOut, ...]], ...]

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it with --json."""
        return {
            "city": self.city,
            "questions": [
                {"question": name, "light_state": light, "areas": [one.to_dict() for one in areas]}
                for name, light, areas in self.questions
            ],
        }

    def text(self) -> str:
        """A table for each question, and how many areas hold."""
        lines = [f"{self.city}: each area's published share against what the other areas foretell"]
        for name, light, areas in self.questions:
            lines += ["", f"{name} ({light})", f"{'area':<44}{'published':>10}{'foretold':>10}{'90 % interval':>16}"]
            for one in areas:
                interval = f"{one.foretold.low:.1%}-{one.foretold.high:.1%}"
                missed = "" if one.covered else "  outside"
                lines.append(f"{one.area:<44}{one.published:>10.1%}{one.foretold.mean:>10.1%}{interval:>16}{missed}")
            held = sum(one.covered for one in areas)
            near = sum(abs(one.error) <= one.sampling_sd + ALLOWED for one in areas)
            lines.append(
                f"{held} of {len(areas)} within the interval; {near} within one sampling error + {ALLOWED:.0%} of it"
            )
        return "\n".join(lines)


def small_area_report(city: City, question: str = "") -> SmallAreaReport:
    """Fit each question of a city's published shares."""
    found, simulated = [], False
    for name, light, table in _questions(city, question):
        sized, _ = sample_sizes(table)
        shares: dict[str, float] = {}
        words: dict[str, str] = {}
        for code, rows in sized[sized["partition"] == "area"].groupby("code"):
            shares[str(code)] = float(np.average(rows["share"], weights=rows["size"]))
            words[str(code)] = str(rows.sort_values("year")["words"].iloc[-1])
        found.append(Question(name, light, small_areas(table), words, shares))
        simulated |= bool((table["origin"] == "simulated").any())
    return SmallAreaReport(city.name, tuple(found), simulated)


def left_out_report(city: City, question: str = "") -> LeftOutReport:
    """Foretell each area of each question from the others."""
    found = []
    for name, light, table in _questions(city, question):
        codes = sorted(set(table["code"][table["partition"] == "area"]))
        found.append((name, light, tuple(left_out(table, code) for code in codes)))
    return LeftOutReport(city.name, tuple(found))


def _questions(city: City, question: str) -> Iterator[tuple[str, str, pd.DataFrame]]:
    from ingest.area_shares import shares

    table = shares(city)
    if not len(table):
        raise ModelError(f"{city.name} has no published shares; 'noctule survey import {city.path} FILE' brings some")
    names = sorted(set(table["question"]))
    if question and question not in names:
        raise ModelError(f"no share is of the question '{question}'; expected one of {', '.join(names)}")
    for name in [question] if question else names:
        asked = table[table["question"] == name]
        for light in sorted(set(asked["light_state"])):
            yield name, light, asked[asked["light_state"] == light].reset_index(drop=True)


def _said(estimate: Estimate) -> str:
    interval = f"{estimate.low:.1%}-{estimate.high:.1%}"
    return f"{estimate.mean:>8.1%}{interval:>16}"


def _plain(one: Question) -> dict[str, Any]:
    fitted = one.fitted
    return {
        "question": one.name,
        "light_state": one.light_state,
        "years": list(fitted.years),
        "areas": [
            {"area": area, "words": one.words[area], "published": one.published[area], **asdict(fitted.share(area))}
            for area in fitted.areas
        ],
        "any_other_area": asdict(fitted.share("")),
        "groups": [
            {
                "partition": partition,
                "group": code,
                "respondents": share,
                **asdict(fitted.group_share(ALL, partition, code)),
            }
            for partition, groups in fitted.groups.items()
            for code, share in groups.items()
        ],
        "sd": dict(zip(("area", "year", "area_and_year"), fitted.sds, strict=True)),
        "notes": list(fitted.notes),
    }
