"""Fits the response of feeling safe to what people answered, with the fields of the place and time of each answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy.special import ndtri

from analytics import covariates
from analytics.applicability import applicability
from analytics.covariates import FEATURES, NAMES, Floats
from analytics.groups import everyone, views_of
from analytics.lie import lie_of
from analytics.ordered_posterior import between
from analytics.ordinal import unheard_gaps
from analytics.place_effect import nowhere, place_effect, region_of
from analytics.place_fit import Answers, PlaceFit, fit_with_places
from analytics.release import settled
from analytics.response import Perception, Places, Scales
from sensors.city import City
from sensors.errors import ModelError
from sensors.instrument import instrument_names, load_instrument
from sensors.night import Night, nights_of
from sensors.places import PRESENCE

if TYPE_CHECKING:
    from analytics.knowledge import Knowledge
    from analytics.surroundings import Surroundings

INSTRUMENT = "core-4"  # the reference scale, which "feels safe" is said on; others join with cuts of their own
CONSTRUCT, SCOPE = "safety", "here"  # what is pooled: worry is another construct, an area is no place (perception.md 1)
CUT_SD = 1.5
HALF_LIFE_NIGHTS = 90.0
MOST_OF_A_NIGHT = 3.0  # weight that one pseudonym's answers of one night may carry together
CLOSING_KINDS = ("bar", "pub", "nightclub")

Progress = Callable[[int, int], None]


def fit_perception(
    city: City,
    surroundings: Surroundings,
    knowledge: Knowledge,
    *,
    before: Night | None = None,
    preset: str = "standard",
    progress: Progress | None = None,
) -> Perception:
    """Fit the response to the city's answers; without answers it knows nothing and says so.

    before : only answers given before this night begins count, and older ones less (90 nights half-life)
    preset : 'standard' or 'sceptical' priors
    progress : called with (done, all) moments while the fields at the answers are computed
    """
    if preset not in covariates.PRESETS:
        raise ModelError(f"preset '{preset}' is none of {', '.join(covariates.PRESETS)}")
    table, not_used = answers_to_fit(city, before)
    places = closing_places(city, surroundings)
    reference = reference_night(city, table, before)
    raw = fields_at_answers(city, surroundings, knowledge, table, progress)
    fitted = fit_response(
        table,
        raw,
        city,
        surroundings,
        places,
        street_means(surroundings, knowledge, reference, places),
        preset,
        not_used,
    )
    from analytics.share_evidence import with_shares

    return with_shares(fitted, city, surroundings, knowledge, reference)


def fit_response(
    table: pd.DataFrame,
    raw: pd.DataFrame,
    city: City,
    surroundings: Surroundings,
    places: Places,
    streets: pd.DataFrame,
    preset: str = "standard",
    not_used: int = 0,
) -> Perception:
    """Fit the response to answers whose fields are known.

    table : answers, columns of `sensors.answer` and `count`, what each counts
    raw : (n) rows of illuminance, evenness, noise, footfall and closing at the answers; NaN where not known
    streets : the same columns over the city's streets in a night, for the city's mean
    """
    instrument = load_instrument(INSTRUMENT)
    ladders = ladders_of(table)
    prior_mean, prior_sd = priors_with_cuts(preset, ladders)
    names = [*NAMES, *(f"{one.instrument} cut_{k}" for one in ladders for k in range(1, one.categories))]
    weight = table["count"].to_numpy(np.float64)
    if not len(table):
        zero = np.zeros(len(FEATURES))
        scales = Scales(zero, zero, zero, zero, zero, 0.5, (0.0, 0.0))
        return Perception(
            names=tuple(names),
            mean=prior_mean,
            covariance=np.diag(prior_sd**2),
            prior_mean=prior_mean,
            prior_sd=prior_sd,
            safe_from=instrument.safe_from,
            categories=instrument.categories,
            scales=scales,
            classes=everyone(table, weight, np.zeros(0), prior_mean, {})[0],
            places=places,
            own=nowhere(surroundings.grid, prior_mean.size),
            nodes=(),
            n_answers=0,
            n_people=0,
            effective_answers=0.0,
            not_used=not_used,
            newest="",
            oldest="",
            origins=(),
            campaigns=(),
            preset=preset,
            log_likelihood=0.0,
        )
    scales, features = scales_of(raw, streets, weight)
    held = np.clip(features, scales.low, scales.high)
    design = covariates.design(table, held, city.zone)
    # Of all terms only the place's own effect says something of one place, where two days' maps could be subtracted.
    rule = city.settings.release
    local = settled(table, city.zone, people=rule.minimum_people, share=rule.maximum_share)
    fit = fit_together(table, design, ladders, weight, local, prior_mean, prior_sd, city, surroundings)
    size = prior_mean.size
    mean, covariance = fit.mean[:size], fit.covariance[:size, :size]
    times = table["time"]
    shares = city.settings.group_shares
    classes, out = everyone(table, weight, raw["footfall"].to_numpy(np.float64), mean, shares)
    own_sd = np.sqrt(np.diag(covariance))[: len(FEATURES)]
    return Perception(
        names=tuple(names),
        mean=mean,
        covariance=covariance,
        prior_mean=prior_mean,
        prior_sd=prior_sd,
        safe_from=instrument.safe_from,
        categories=instrument.categories,
        scales=scales,
        classes=classes,
        places=places,
        own=place_effect(surroundings.grid, fit),
        nodes=tuple((node.length_m, node.sd, round(node.weight, 4)) for node in fit.nodes),
        n_answers=len(table),
        n_people=int(table["pseudonym"].nunique()),
        effective_answers=float(weight.sum()),
        not_used=not_used,
        newest=f"{times.max():%Y-%m-%d}",
        oldest=f"{times.min():%Y-%m-%d}",
        origins=tuple(sorted(table["origin"].unique())),
        campaigns=tuple(sorted(table["campaign"].unique())),
        preset=preset,
        log_likelihood=fit.log_likelihood,
        views=views_of(table, weight, out, mean, city.settings.resident_shares, rule.minimum_people),
        applicability=applicability(held, mean[: len(FEATURES)], own_sd, table),
        fit=fit,
    )


@dataclass(frozen=True)
class Ladder:
    """The cuts of one instrument among all: how many categories it has and where its cuts begin."""

    instrument: str
    categories: int
    first: int


def ladders_of(table: pd.DataFrame) -> list[Ladder]:
    """The reference instrument and then the others among the answers, by name."""
    others = sorted(set(table["instrument"]) - {INSTRUMENT})
    ladders, first = [], 0
    for name in (INSTRUMENT, *others):
        ladders.append(Ladder(name, load_instrument(name).categories, first))
        first += ladders[-1].categories - 1
    return ladders


def priors_with_cuts(preset: str, ladders: list[Ladder]) -> tuple[Floats, Floats]:
    """Prior means and sd of the terms and then of every instrument's cuts."""
    mean, sd = covariates.priors(preset)
    for ladder in ladders:
        k = np.arange(1, ladder.categories)
        mean = np.concatenate([mean, ndtri(k / ladder.categories)])
        sd = np.concatenate([sd, np.full(k.size, CUT_SD)])
    return mean, sd


def fit_together(
    table: pd.DataFrame,
    design: Floats,
    ladders: list[Ladder],
    weight: Floats,
    local: npt.NDArray[np.bool_],
    prior_mean: Floats,
    prior_sd: Floats,
    city: City,
    surroundings: Surroundings,
) -> PlaceFit:
    """Coefficients, every instrument's cuts, places and people's own levels in one fit."""
    asked, category = table["instrument"].to_numpy(dtype=object), table["category"].to_numpy(np.int64)
    cuts: list[Floats] = []
    chains, held_apart = [], []
    for ladder in ladders:
        here = asked == ladder.instrument
        counts = np.bincount(category[here], weight[here], ladder.categories + 1)[1:].astype(np.float64)
        cuts.append(ndtri(np.cumsum((counts + 0.5) / (counts + 0.5).sum())[:-1]))
        chains.append(slice(ladder.first, ladder.first + ladder.categories - 1))
        held_apart += [ladder.first + gap for gap in unheard_gaps(counts)]
    answers = rows_of(table, design, ladders, weight, local, city)
    region = region_of(surroundings.grid, answers.easting[local], answers.northing[local])
    return fit_with_places(
        answers, region, prior_mean, 1 / prior_sd**2, np.concatenate(cuts), held_apart=tuple(held_apart),
        chains=tuple(chains),
    )  # fmt: skip


def rows_of(
    table: pd.DataFrame,
    design: Floats,
    ladders: list[Ladder],
    weight: Floats,
    local: npt.NDArray[np.bool_],
    city: City,
) -> Answers:
    """Answers as the joint fit takes them, each between the cuts of its own instrument."""
    asked, category = table["instrument"].to_numpy(dtype=object), table["category"].to_numpy(np.int64)
    lower, upper = np.full(len(table), -1, np.int64), np.full(len(table), -1, np.int64)
    for ladder in ladders:
        here = asked == ladder.instrument
        lower[here], upper[here] = between(category[here], ladder.first, ladder.categories)
    times = table["time"].to_numpy().astype("datetime64[ms]")
    return Answers(
        columns=design,
        lower=lower,
        upper=upper,
        weight=weight,
        easting=table["easting"].to_numpy(np.float64),
        northing=table["northing"].to_numpy(np.float64),
        late=covariates.late(times, city.zone),
        local=local,
        person=_persons(table),
    )


def ladders_in(perception: Perception) -> list[Ladder]:
    """The instruments whose cuts a fitted response has, as `ladders_of` had them."""
    cuts = [name.rpartition(" ")[0] for name in perception.names[len(NAMES) :]]
    return [Ladder(name, cuts.count(name) + 1, cuts.index(name)) for name in dict.fromkeys(cuts)]


def _persons(table: pd.DataFrame) -> npt.NDArray[np.int64] | None:
    """Number of each answer's person, or None where most answered once: the unit noise then holds their levels."""
    number, people = pd.factorize(table["pseudonym"], sort=True)
    if not len(people) or np.median(np.bincount(number)) < 2:
        return None
    return number.astype(np.int64)


def pooled_instruments() -> list[str]:
    """Instruments whose answers share one latent scale: how safe it feels, here."""
    known = (load_instrument(name) for name in instrument_names())
    return [tool.id for tool in known if tool.construct == CONSTRUCT and tool.scope == SCOPE]


def answers_to_fit(city: City, before: Night | None, since: np.datetime64 | None = None) -> tuple[pd.DataFrame, int]:
    """The answers to fit, in one order everywhere, with what each counts; and how many are left out.

    before, since : only those given before a night begins, and from a moment on
    """
    from ingest.archive import answers

    every = pd.DataFrame(answers(city).drop(columns="geometry"))
    every = every[every["time"].to_numpy() < before.start] if before is not None else every
    every = every[every["time"].to_numpy() >= since] if since is not None else every
    table = every[every["instrument"].isin(pooled_instruments())]
    order = ["time", "northing", "easting", *(c for c in table.columns if c not in ("response_id", "pseudonym"))]
    table = table.sort_values(list(dict.fromkeys(order)), kind="stable", ignore_index=True)
    night = nights_of(table["time"].to_numpy().astype("datetime64[ms]"), city.zone)
    count = np.minimum(table["weight"].to_numpy(np.float64), 1.0)
    if len(table):
        together = pd.Series(count).groupby([table["pseudonym"], pd.Series(night)]).transform("sum").to_numpy()
        count = count * np.minimum(1.0, MOST_OF_A_NIGHT / together)
        newest = np.datetime64(before.date, "D") if before is not None else night.max()
        age = (newest - night) / np.timedelta64(1, "D")
        count = count * 0.5 ** (np.maximum(age, 0) / HALF_LIFE_NIGHTS)
    return table.assign(count=count, night=night), len(every) - len(table)


def fields_at_answers(
    city: City, surroundings: Surroundings, knowledge: Knowledge, table: pd.DataFrame, progress: Progress | None = None
) -> pd.DataFrame:
    """What the fields said at each answer's place and step; what is expected where a night has no readings."""
    from analytics.fields import fields_at
    from ingest.archive import night_records

    places = closing_places(city, surroundings)
    grid = surroundings.grid
    row, column, _ = grid.cells(table["easting"].to_numpy(np.float64), table["northing"].to_numpy(np.float64))
    times = table["time"].to_numpy().astype("datetime64[ms]")
    names = ("illuminance", "even", "noise", "footfall")
    found = {name: np.full(len(table), np.nan) for name in names}
    nights, moments = table["night"].to_numpy(), np.unique(times)
    done = 0
    for night in np.unique(nights):
        records = night_records(city, str(night))
        for step in np.unique(times[nights == night]):
            fields = fields_at(surroundings, knowledge, records, step)
            here = np.flatnonzero(times == step)
            illuminance = _plane(fields["illuminance"])
            even = covariates.evenness(illuminance, _plane(fields["illuminance_min"]), grid.cell_m)
            planes = (illuminance, even, _plane(fields["noise"]), _plane(fields["footfall"]))
            for name, plane in zip(names, planes, strict=True):
                found[name][here] = plane[row[here], column[here]]
            done += 1
            if progress is not None:
                progress(done, len(moments))
    near = places.nearness[:, row, column].T
    closing = covariates.closing_wave(times, places.closes_min, near, city.zone) if len(table) else np.zeros(0)
    seen = covariates.presence_near(
        times, places.presence_kind, places.presence_from, places.presence_to,
        places.presence_near[:, row, column].T, city.zone,
    )  # fmt: skip
    lie = {"colour": places.colour[row, column], "view": places.view[row, column]}
    return pd.DataFrame({**found, "closing": closing, **dict(zip(PRESENCE, seen.T, strict=True)), **lie})


def street_means(surroundings: Surroundings, knowledge: Knowledge, night: Night, places: Places) -> pd.DataFrame:
    """What is expected on the city's streets every two hours of a night: the mean that contributions stand against."""
    from analytics.fields import fields_at
    from sensors.reading import RECORD

    street = surroundings.street & ~surroundings.indoor
    street = street if street.any() else ~surroundings.indoor
    rows = []
    for step in night.steps(*surroundings.window, surroundings.step_minutes)[::8]:
        fields = fields_at(surroundings, knowledge, np.empty(0, RECORD), step)
        illuminance = _plane(fields["illuminance"])
        even = covariates.evenness(illuminance, _plane(fields["illuminance_min"]), surroundings.grid.cell_m)
        rows.append(
            pd.DataFrame(
                {
                    "illuminance": illuminance[street],
                    "even": even[street],
                    "noise": _plane(fields["noise"])[street],
                    "footfall": _plane(fields["footfall"])[street],
                    "closing": 0.0,
                    "colour": places.colour[street],
                    "view": places.view[street],
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def reference_night(city: City, table: pd.DataFrame, before: Night | None) -> Night:
    """The night whose streets contributions stand against: the one fitted for, else that of the newest answer."""
    if before is not None:
        return before
    newest = str(table["night"].to_numpy().astype("datetime64[D]").max()) if len(table) else "2026-01-02"
    return Night.named(newest, city.zone)


def closing_places(city: City, surroundings: Surroundings) -> Places:
    """Closing times of the city's bars and how near their venues are to each cell."""
    from scipy.spatial import cKDTree

    grid = surroundings.grid
    venues = city.places("venues")
    venues = venues[venues["kind"].isin(CLOSING_KINDS)] if len(venues) else venues
    closes = np.unique(venues["closes_min"].to_numpy(np.float64)) if len(venues) else np.empty(0)
    cells = np.stack(np.meshgrid(grid.easting, grid.northing), axis=-1).reshape(-1, 2)
    nearness = np.zeros((len(closes), *grid.shape), np.float32)
    for index, minute in enumerate(closes):
        closing = venues[venues["closes_min"] == minute].geometry
        points = np.column_stack([closing.x.to_numpy(), closing.y.to_numpy()])
        distance = cKDTree(points).query(cells)[0].reshape(grid.shape)
        nearness[index] = np.exp(-distance / covariates.CLOSING_REACH_M)
    seen, lie = _presence(city, cells, grid.shape), lie_of(city, surroundings)
    return Places(surroundings.longitude, surroundings.latitude, closes, nearness, *seen, *lie)


def _presence(
    city: City, cells: Floats, shape: tuple[int, int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Kinds and spans of hours of what people can see, and how near it is to each cell."""
    from scipy.spatial import cKDTree

    seen = city.places("presence")
    spans = sorted(
        {
            (PRESENCE.index(kind), int(a), int(b))
            for kind, a, b in zip(seen["kind"], seen["from_min"], seen["to_min"], strict=True)
        }
    )
    near = np.zeros((len(spans), *shape), np.float32)
    for index, (kind, first, last) in enumerate(spans):
        here = (seen["kind"] == PRESENCE[kind]) & (seen["from_min"] == first) & (seen["to_min"] == last)
        points = np.column_stack([seen.geometry[here].x.to_numpy(), seen.geometry[here].y.to_numpy()])
        distance = cKDTree(points).query(cells)[0].reshape(shape)
        near[index] = np.where(
            distance < 8 * covariates.PRESENCE_REACH_M, np.exp(-distance / covariates.PRESENCE_REACH_M), 0
        )
    kinds, begins, ends = np.array(spans, np.int64).reshape(-1, 3).T.copy()
    return kinds, begins, ends, near


def scales_of(raw: pd.DataFrame, streets: pd.DataFrame, weight: Floats) -> tuple[Scales, Floats]:
    """The constants that the answers' conditions fix, and the features of the answers with unknowns filled in."""
    even = raw["even"].to_numpy()
    typical_even = float(np.nanmean(even)) if np.isfinite(even).any() else 0.5
    level, footfall = raw["noise"].to_numpy(), raw["footfall"].to_numpy()
    around = covariates.people(footfall)
    both = np.isfinite(level) & np.isfinite(around)
    on_people = covariates.noise_explained(level[both], around[both], weight[both]) if both.sum() > 1 else (60.0, 0.0)

    at_answers = covariates.features_of(raw, typical_even, on_people)
    typical = _column_mean(at_answers)
    at_answers = np.where(np.isnan(at_answers), typical, at_answers)
    low, high = np.quantile(at_answers, [0.01, 0.99], axis=0)
    on_streets = (
        np.clip(covariates.features_of(streets, typical_even, on_people), low, high) if len(streets) else at_answers
    )
    scales = Scales(low, high, typical, at_answers.std(axis=0), _column_mean(on_streets), typical_even, on_people)
    return scales, at_answers


def _column_mean(values: Floats) -> Floats:
    known = np.isfinite(values)
    mean: Floats = np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return mean


def _plane(field: xr.DataArray) -> npt.NDArray[np.float32]:
    return np.asarray(field.to_numpy()[0], np.float32)
