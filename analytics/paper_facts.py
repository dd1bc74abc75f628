"""What a city's own files say for its papers, in words: nothing here is known otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analytics import covariates
from analytics.audit import population_shares, sample_shares
from analytics.audit_report import flags_of, names_of, share_rows
from analytics.covariates import COLUMN, NAMES
from analytics.group_parts import groups_of
from analytics.held_out import SCHEMES
from analytics.judgements import judgement
from analytics.model import NO_EFFECT_FROM, Model, current_model, load_model
from analytics.phrases import Phrases
from analytics.release import enough
from analytics.response import Perception
from sensors.answer import CODES
from sensors.city import City
from sensors.errors import ModelError
from sensors.instrument import load_instrument

Bools = npt.NDArray[np.bool_]


def paper_facts(city: City, say: Phrases) -> dict[str, str]:
    """The values of the templates' fields, as Markdown in one language."""
    settings, rule = city.settings, city.settings.release
    model = _model(city)
    table = _answers(city, model)
    fitted = model is not None and model.perception.n_answers > 0
    return {
        "city": city.name,
        "version": _version(),
        "generated": say("papers.generated", version=_version()),
        "origin_line": _origin(city, model, say),
        "uses": _bullets(list(settings.purpose.uses) or [say("papers.not_said", key="purpose.uses")]),
        "excluded": _bullets(
            [_excluded(text, say) for text in settings.purpose.excluded]
            or [say("papers.not_said", key="purpose.excluded")]
        ),
        "responsible": settings.purpose.responsible or say("papers.not_said", key="purpose.responsible"),
        "retention": settings.purpose.retention or say("papers.not_said", key="purpose.retention"),
        "review": settings.purpose.review or say("papers.not_said", key="purpose.review"),
        "sources": _bullets(list(settings.attribution) or [say("facts.attribution_none")]),
        "licence": say("facts.licence", licence=settings.licence or say("papers.not_said", key="licence")),
        "sites": _sites(city, say),
        "devices_seen": _devices_seen(city, say),
        "model": _model_line(city, model, say),
        "answers": _answers_line(city, model, table, say),
        "campaigns": _by("campaign", table, city, say),
        "instruments": _by("instrument", table, city, say),
        "preset": say("facts.preset", preset=model.perception.preset) if fitted and model else "",
        "nodes": _nodes(model.perception, say) if fitted and model else "",
        "terms": _terms(model.perception, table, city, say) if fitted and model else "",
        "support": _support(model, say),
        "validation": _validation(city, model, say),
        "audit": _audit(city, model, say),
        "who_answered": _who(table, city, say),
        "missing": _missing(table, city, say),
        "minimum_people": say.number(rule.minimum_people),
        "maximum_share": say.percent(rule.maximum_share),
        "minimum_evidence": say.number(rule.minimum_evidence, 2),
        "public_cell_m": say.number(max(rule.public_cell_m, 200.0)),
        "public_delay": say.number(max(rule.public_delay_hours, 24.0)),
    }


def _model(city: City) -> Model | None:
    """The current model; None where nothing is fitted yet. A damaged one is an error."""
    try:
        current_model(city)
    except ModelError:
        if (city.shelf("model") / "current.json").exists():
            raise
        return None
    return load_model(city)


def _answers(city: City, model: Model | None) -> pd.DataFrame:
    """The answers that the current model was fitted to; all that could be fitted where there is none."""
    from analytics.fitting import answers_to_fit
    from sensors.night import Night

    table, _ = answers_to_fit(city, None if model is None else Night.named(model.night, city.zone))
    return table


def _origin(city: City, model: Model | None, say: Phrases) -> str:
    if city.simulated:
        return say("papers.simulated")
    return say("papers.partly_simulated" if model is not None and model.simulated else "papers.recorded")


def _excluded(text: str, say: Phrases) -> str:
    """The exclusions that every city starts with are translated; what a city wrote stands as it wrote it."""
    key = f"excluded.{text}"
    return say(key) if key in say.texts else text


def _sites(city: City, say: Phrases) -> str:
    try:
        sites = city.places("sites")
    except Exception as error:  # a city without its register still has a purpose, sources and answers to write of
        return f"`places/sites.parquet`: {error}"
    if not len(sites):
        return say("facts.no_sites")
    counts = sites.groupby(["quantity", "origin"]).size()
    return _bullets(
        [
            say("facts.sites", count=say.number(int(n)), quantity=f"`{quantity}`", origin=_of("origin", origin, say))
            for (quantity, origin), n in counts.items()
        ]
    )


def _devices_seen(city: City, say: Phrases) -> str:
    basis = city.settings.privacy.devices_seen_basis
    return say("facts.devices_seen", basis=basis) if basis else say("facts.devices_seen_none")


def _model_line(city: City, model: Model | None, say: Phrases) -> str:
    if model is None:
        return say("papers.no_model")
    fitted = str(current_model(city)["fitted"])[:10]
    return say("facts.model", digest=model.digest, fitted=fitted, night=model.night) + "."


def _answers_line(city: City, model: Model | None, table: pd.DataFrame, say: Phrases) -> str:
    if not len(table):
        return say("papers.no_answers")
    rule = city.settings.release
    if not enough(table, rule.minimum_people, rule.maximum_share):
        return say("papers.too_few", people=rule.minimum_people)
    line = say(
        "facts.answers",
        answers=say.number(len(table)),
        people=say.number(table["pseudonym"].nunique()),
        oldest=f"{table['time'].min():%Y-%m-%d}",
        newest=f"{table['time'].max():%Y-%m-%d}",
        effective=say.number(float(table["count"].sum())),
    )
    if model is None:
        return f"{line}."
    raked = "group shares" in model.perception.classes.frame
    parts = [line, say("facts.frame_shares" if raked else "facts.frame_answered")]
    if not 0 < model.perception.not_used < rule.minimum_people:
        parts.append(say("facts.not_used", count=say.number(model.perception.not_used)))
    same = len(table) == model.perception.n_answers
    return "; ".join(parts) + "." + ("" if same else f" {say('facts.changed')}")


def _by(column: str, table: pd.DataFrame, city: City, say: Phrases) -> str:
    """Answers by campaign or instrument; in numbers only if each has enough people, so that none can be subtracted."""
    if not len(table):
        return ""
    rule = city.settings.release
    parts = [(str(name), part) for name, part in table.groupby(column, sort=True)]
    told = all(enough(part, rule.minimum_people, rule.maximum_share) for _, part in parts)
    lines = []
    for name, part in parts:
        values: dict[str, Any] = {
            "answers": say.number(len(part)),
            "people": say.number(part["pseudonym"].nunique()),
            "campaign": name,
            "origin": say.listed([_of("origin", one, say) for one in sorted(part["origin"].unique())]),
        }
        if column == "instrument":
            tool = load_instrument(name)
            words = tool.items[0].words
            title = words.get(say.language, tool.title)
            values |= {"id": name, "title": title, "categories": tool.categories, "reference": tool.reference}
        lines.append(say(f"facts.{column}" if told else f"facts.{column}_few", **values))
    return _bullets(lines)


def _nodes(perception: Perception, say: Phrases) -> str:
    heads = [say(f"facts.node_{head}") for head in ("length", "sd", "share")]
    rows = [[say.number(length), say.number(sd, 2), say.percent(share)] for length, sd, share in perception.nodes]
    return say("facts.nodes_lead") + "\n\n" + _table(heads, rows)


def _terms(perception: Perception, table: pd.DataFrame, city: City, say: Phrases) -> str:
    """Priors and posteriors; none of a term that too few people's answers move."""
    rule = city.settings.release
    rows = []
    for row in perception.table().to_dict("records"):
        name = str(row["term"])
        words = say(f"terms.{name}") if name in NAMES else f"`{row['words']}`"
        prior = f"{say.number(row['prior_mean'], 2, sign=True)} ± {say.number(row['prior_sd'], 2)}"
        who = _whose(name, table)
        if who is None or enough(table[who], rule.minimum_people, rule.maximum_share):
            after = f"{say.number(row['mean'], 2, sign=True)} ± {say.number(row['sd'], 2)}"
            rows.append([words, prior, after, say.number(row["overlap"], 2)])
        else:
            rows.append([words, prior, say("facts.term_few"), ""])
    heads = [say(f"facts.{head}") for head in ("term", "prior", "posterior", "overlap")]
    return say("facts.term_lead", limit=say.number(NO_EFFECT_FROM, 1)) + "\n\n" + _table(heads, rows)


def _whose(name: str, table: pd.DataFrame) -> Bools | None:
    """Whose answers a number of the response is of, (n,) bool; None where it is of everybody's."""
    instrument, _, cut = name.partition(" ")
    if cut:
        inside: Bools = (table["instrument"] == instrument).to_numpy()
        return inside
    crossed = {"woman_light": "woman", "woman_people": "woman", "woman_late": "woman", "older_light": "age_65"}
    name = crossed.get(name, name)
    if name in covariates.GROUP_TERMS:
        column: Bools = covariates.group_design(table)[:, COLUMN[name]] != 0
        return column
    if name == "day":
        return np.asarray(table["light_state"] == "day")
    asked = name.replace("_", "-")
    return np.asarray(table["trigger"] == asked) if asked in CODES["trigger"] else None


def _support(model: Model | None, say: Phrases) -> str:
    if model is None:
        return ""
    size = model.support.size_m
    shown, cell = int((size > 0).sum()), say.number(model.support.cell_m)
    return say("facts.cells_supported", shown=say.number(shown), cells=say.number(size.size), size=cell) + "."


def _validation(city: City, model: Model | None, say: Phrases) -> str:
    kept = None if model is None else judgement(city, "validation")
    if kept is None:
        return say("papers.no_validation")
    lead = say(
        "facts.validation_lead", date=str(kept["made"])[:10], answers=say.number(kept["answers"]),
        people=say.number(kept["people"]),
    )  # fmt: skip
    heads = ("way", "rps", "log", "skill_climatology", "skill_groups", "error", "held")
    rows = []
    for scheme in kept["schemes"]:
        map_, coverage = scheme["score"]["map"], scheme["coverage"]
        unknown = coverage is None or np.isnan(coverage)
        rows.append(
            [
                say(f"facts.{scheme['name']}") if scheme["name"] in SCHEMES else str(scheme["name"]),
                say.number(map_["rps"], 3),
                say.number(map_["log"], 3),
                _skill(scheme["skill"]["climatology"], say),
                _skill(scheme["skill"]["groups"], say),
                say.number(scheme["calibration_error"], 3, sign=True),
                say("audit.cannot") if unknown else say.percent(coverage),
            ]
        )
    return f"{lead}\n\n{_table([say(f'facts.{head}') for head in heads], rows)}"


def _skill(skill: Mapping[str, float], say: Phrases) -> str:
    value, low, high = (say.number(skill[key], 3, sign=True) for key in ("value", "low", "high"))
    return f"{value} ({low} … {high})"


def _audit(city: City, model: Model | None, say: Phrases) -> str:
    kept = None if model is None else judgement(city, "audit")
    if kept is None:
        return say("papers.no_audit")
    numbers = {key: say.number(kept[key]) for key in ("flagged", "clear")}
    lead = say(
        "facts.audit_lead", date=str(kept["made"])[:10], flags=numbers["flagged"], clear=numbers["clear"],
        groups=say.number(len(kept["rows"])),
    )  # fmt: skip
    flagged = [(row["classes"], row["flags"]) for row in kept["rows"] if row["flags"]]
    flagged += [({one["column"]: (one["code"],)}, one["flags"]) for one in kept["shares"] if one["flags"]]
    lines = [say("facts.audit_flag", group=say.group(who), flags=_flags(flags, say)) for who, flags in flagged]
    found = _bullets(lines) if lines else say("facts.audit_none")
    unsaid = say(
        "audit.unsaid", people=say.number(city.settings.release.minimum_people),
        share=say.percent(city.settings.release.maximum_share), groups=names_of(kept["unsaid"], say),
    ) if kept["unsaid"] else say("audit.unsaid_none")  # fmt: skip
    return "\n\n".join([lead, found, say("audit.limits"), unsaid])


def _flags(flags: Sequence[Mapping[str, Any]], say: Phrases) -> str:
    from analytics.audit import Flag

    return flags_of([Flag(str(flag["what"]), bool(flag["clear"])) for flag in flags], say)


def _who(table: pd.DataFrame, city: City, say: Phrases) -> str:
    rule = city.settings.release
    if not len(table) or not enough(table, rule.minimum_people, rule.maximum_share):
        return say("papers.too_few", people=rule.minimum_people) if len(table) else say("papers.no_answers")
    shares = sample_shares(
        table, population_shares(city.settings.group_shares), people=rule.minimum_people, share=rule.maximum_share
    )
    heads = [say(f"audit.{head}") for head in ("group", "sample", "population", "flags")]
    return _table(heads, [list(row) for row in share_rows(shares, say)])


def _missing(table: pd.DataFrame, city: City, say: Phrases) -> str:
    rule = city.settings.release
    missing = groups_of(table, people=rule.minimum_people, share=rule.maximum_share).missing
    if not missing:
        return say("audit.missing_none")
    return say("audit.missing", groups=names_of(missing, say))


def _of(table: str, code: Any, say: Phrases) -> str:
    key = f"{table}.{code}"
    return say(key) if key in say.texts else str(code)


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"* {line}" for line in lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _version() -> str:
    try:
        return version("noctule")
    except PackageNotFoundError:
        return "0"
