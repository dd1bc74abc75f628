"""What a city holds of its fields besides sensors, on the grid: surveys of light and rasters that it already owns.

A layer says of each cell a value z with a variance (in the field's transformed unit) and so is an observation of the
cell; it is weighed against the background by precision, cell by cell:

    1 / variance = 1 / (kappa s^2) + sum 1 / (variance_i + growth_i days_i)
    shift        = variance x sum (z_i - background) / (variance_i + growth_i days_i)

with s the sd that the background has of itself and kappa what surveys found of s^2 (1 where nobody surveyed). Live
sensors then correct what results, with its smaller sd. The parts of the sum are what is measured, modelled and
simulated of the cell before any sensor speaks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analytics.hours import HOURS, evening_of
from analytics.sky import GLOW_LUX

if TYPE_CHECKING:
    from analytics.assimilation import Correction, Departures
    from analytics.profile import Profile
    from analytics.surroundings import Sites, Surroundings
    from sensors.city import City
    from sensors.city_layer import LayerTerms

MEASURED_BY, MODELLED_BY, SIMULATED_BY = 0, 1, 2  # `by` of a layer

_FOREVER = 4_000_000  # nights
_LUX_FLOOR = 0.05  # added to lx of a layer before its logarithm, as half of what instruments resolve
_FOOTFALL_FLOOR = 0.5  # persons/h, likewise
_ROAD_SD = 6.0  # dB, of the sources' model of roads (sensing.md B5)
_HOUR_SD = 2.0  # dB, between a level of the year and its share of one quarter of an hour


@dataclass(frozen=True)
class Weighed:
    """What layers make of a background: shift to add, sd that is left, and whose part of the variance it was, 0..1.

    rest : what of the variance is left to live sensors; parts are single numbers where there is no layer
    """

    shift: NDArray[np.float32]
    sd: NDArray[np.float32]
    measured: NDArray[np.float32]
    simulated: NDArray[np.float32]
    rest: NDArray[np.float32]

    def of_part(self, part: NDArray[np.float32], sd: NDArray[np.float32]) -> Weighed:
        """The same where layers know only a part (0..1) of a background in ln, and the rest errs by its own sd.

        A survey by night knows the lamps and the night's sky, and nothing of the light of a summer's dusk.
        """
        measured, simulated = part * self.measured, part * self.simulated
        return Weighed(
            shift=np.log1p(part * np.expm1(self.shift)),
            sd=part * self.sd + (np.float32(1) - part) * sd,
            measured=measured,
            simulated=simulated,
            rest=np.float32(1) - part * (np.float32(1) - self.rest),
        )


@dataclass(frozen=True)
class Stack:
    """The layers of one field; the first axis of every array is the layer.

    value, variance : (n, northing, easting) f4, NaN and infinite where a layer says nothing; growth : (n,) of variance
    a day; night : (n,) that age counts from; valid_from, valid_to : (n,) nights, inclusive, all as `hours.evening_of`
    counts them; by : (n,) MEASURED_BY, MODELLED_BY or SIMULATED_BY; kappa : true variance of the background over what
    it says, (northing, easting) or one number
    """

    value: NDArray[np.float32]
    variance: NDArray[np.float32]
    growth: NDArray[np.float64]
    night: NDArray[np.int64]
    valid_from: NDArray[np.int64]
    valid_to: NDArray[np.int64]
    by: NDArray[np.int64]
    kappa: NDArray[np.float32] = field(default_factory=lambda: np.ones((), np.float32))

    @classmethod
    def empty(cls) -> Stack:
        """No layers."""
        none, whole = np.empty((0, 0, 0), np.float32), np.empty(0, np.int64)
        return cls(none, none, np.empty(0), whole, whole, whole, whole)

    @property
    def size(self) -> int:
        """How many layers."""
        return int(self.by.size)

    def joined(self, other: Stack) -> Stack:
        """These layers and others of the same grid; what surveys found of the background is taken from both."""
        if not self.size or not other.size:
            return self if self.size else other
        arrays = {
            name: np.concatenate([getattr(self, name), getattr(other, name)])
            for name in ("value", "variance", "growth", "night", "valid_from", "valid_to", "by")
        }
        return Stack(**arrays, kappa=np.maximum(self.kappa, other.kappa))

    def weigh(
        self,
        time: np.datetime64,
        zone: str,
        sd: NDArray[np.float32],
        background: NDArray[np.float32] | None = None,
        offset: NDArray[np.float64] | None = None,
    ) -> Weighed:
        """Weigh the layers that are valid in the night of a moment (UTC) against a background.

        sd : of the background, (northing, easting) or one number; background : its values where the layers' are
        absolute, and not beyond it; offset : (n,) that each layer's values have beyond the background's kind
        """
        if not self.size:
            none = np.zeros((), np.float32)
            return Weighed(none, sd, none, none, np.ones((), np.float32))
        night = int(evening_of(np.array([time]), zone)[0])
        prior = np.broadcast_to(np.square(sd, dtype=np.float32) * self.kappa, self.value.shape[1:])
        precision = np.float32(1) / prior
        total = precision.copy()
        pull = np.zeros_like(total)
        parts = [np.zeros_like(total), np.zeros_like(total), np.zeros_like(total)]
        for i in range(self.size):
            if not self.valid_from[i] <= night <= self.valid_to[i]:
                continue
            value, variance = self.value[i], self.variance[i]
            aged = np.float32(self.growth[i] * abs(night - int(self.night[i])))
            says = np.isfinite(value) & np.isfinite(variance)
            weight = np.where(says, np.float32(1) / (variance + aged), np.float32(0))
            if offset is not None:
                value = value - np.float32(offset[i])
            beyond = np.where(says, value if background is None else value - background, np.float32(0))
            total += weight
            pull += weight * beyond
            parts[self.by[i]] += weight
        return Weighed(
            shift=pull / total,
            sd=np.float32(1) / np.sqrt(total),
            measured=parts[MEASURED_BY] / total,
            simulated=parts[SIMULATED_BY] / total,
            rest=precision / total,
        )


def weighed_against(
    held: Weighed, sd: NDArray[np.float32], departures: Departures, profile: Profile, sites: Sites
) -> tuple[Departures, Profile]:
    """What sensors say, and are expected to say, beyond a background that layers were weighed into.

    sd : of the background before, (northing, easting) or one number; departures and profile : beyond the one before
    """
    if not held.shift.ndim:
        return departures, profile
    rows = sites.rows(departures.site)
    cell = (sites.row[rows], sites.column[rows])
    here = held.shift[cell].astype(np.float64)
    smaller = held.sd[cell] / np.broadcast_to(sd, held.sd.shape)[cell]
    moved = replace(
        departures, departure=departures.departure - here, last=departures.last - here, sd=departures.sd * smaller
    )
    met = sites.rows(profile.site)
    shift = np.where(met >= 0, held.shift[sites.row[met], sites.column[met]], 0.0).astype(np.float64)
    return moved, replace(profile, bias=profile.bias - shift[:, np.newaxis])


def shares(
    held: Weighed, correction: Correction, background_simulated: NDArray[np.bool_] | bool
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """What of a cell is measured and what simulated, per cent; the rest is modelled.

    Shares are of the variance that the background had and that was taken away: by layers, then by sensors. What nobody
    took away is the background's own, and counts as simulated where that rests on simulated input.
    """
    shape = correction.mean.shape
    measured, simulated = correction.measured, correction.simulated
    if held.rest.ndim:
        measured, simulated = held.measured + held.rest * measured, held.simulated + held.rest * simulated
    if np.any(background_simulated):
        simulated = np.where(background_simulated, np.float32(1) - measured, simulated)
    return _per_cent(measured, shape), _per_cent(simulated, shape)


def with_layers(origin: NDArray[np.uint8], held: Weighed) -> NDArray[np.uint8]:
    """Bits of origin where layers count: measured where half of the variance went to measured ones."""
    from analytics.assimilation import MEASURED, MODELLED, SIMULATED  # which stands on what stands on this

    if not held.shift.ndim:
        return origin
    out = origin.copy()
    mostly = held.measured >= 0.5
    out[mostly] = (out[mostly] & np.uint8(255 - MODELLED)) | np.uint8(MEASURED)
    out[held.simulated > 0.005] |= np.uint8(SIMULATED)
    return out


def _per_cent(share: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if not share.ndim:
        return np.full(shape, round(100 * float(share)), np.uint8)
    out = share * np.float32(100)
    out += np.float32(0.5)
    np.clip(out, 0, 100, out=out)
    return out.astype(np.uint8)


@dataclass(frozen=True)
class Layers:
    """What a city holds of each field besides its sensors.

    illuminance : ln lx beyond the lamps' light; noise : dB; footfall : ln persons/h, as a mean over `hours` (n, HOURS)
    of the week; road_sd : (northing, easting) f4, dB, what is left of the error of traffic where a map of it was taken
    in, NaN elsewhere; () where none was
    """

    illuminance: Stack = field(default_factory=Stack.empty)
    noise: Stack = field(default_factory=Stack.empty)
    footfall: Stack = field(default_factory=Stack.empty)
    hours: NDArray[np.bool_] = field(default_factory=lambda: np.empty((0, HOURS), bool))
    road_sd: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))

    def noise_sd(self, usual: float) -> NDArray[np.float32]:
        """Sd in dB of the sources' model: the usual one, or what is left of it where a map of road noise was taken."""
        if not self.road_sd.size:
            return np.full((), usual, np.float32)
        return np.where(np.isfinite(self.road_sd), self.road_sd, np.float32(usual)).astype(np.float32)

    def footfall_offset(self, shape: NDArray[np.float64]) -> NDArray[np.float64]:
        """Ln of what a layer's mean over its hours is beyond the level of a place, (n,); shape : (HOURS,) ln."""
        return np.array([np.log(np.mean(np.exp(shape[hours]))) for hours in self.hours])

    @property
    def any(self) -> bool:
        """Whether there is any layer at all."""
        return bool(self.illuminance.size + self.noise.size + self.footfall.size + self.road_sd.size)


def laid_on(city: City, around: Surroundings) -> tuple[Layers, NDArray[np.float32]]:
    """Layers of a city on the grid of its surroundings, and the traffic energy that maps of road noise make of ours."""
    from sensors.city_layer import layer_terms, load_layer
    from sensors.light_survey import load_surveys

    surveyed = load_surveys(city)
    illuminance = Stack.empty()
    if surveyed:
        from analytics.light_surveys import survey_stack

        illuminance = survey_stack(city, around, surveyed)
    noise, footfall = Stack.empty(), Stack.empty()
    hours: list[NDArray[np.bool_]] = []
    traffic = around.traffic
    road_sd = np.empty((0, 0), np.float32)
    for terms in layer_terms(city):
        if terms.use != "background":
            continue
        _, (value, sd) = load_layer(city, terms.layer)
        if terms.field == "illuminance":
            illuminance = illuminance.joined(_of(terms, _beyond_lamps(around, value, terms.lamp_level), sd))
        elif terms.field == "footfall":
            footfall = footfall.joined(_of(terms, np.log(value + np.float32(_FOOTFALL_FLOOR)), sd))
            hours.append(_hours(terms.hours))
        elif terms.indicator == "laeq":
            noise = noise.joined(_of(terms, value, sd))
        else:
            traffic, road_sd = road_map(traffic, value, sd, terms.indicator, road_sd)
    stacked = np.stack(hours) if hours else np.empty((0, HOURS), bool)
    return Layers(illuminance, noise, footfall, stacked, road_sd), traffic


def in_use(city: City) -> list[tuple[str, str]]:
    """Attribution and licence of every survey and of every layer that shapes the map, in the order of their ids."""
    from sensors.city_layer import layer_terms
    from sensors.light_survey import survey_terms

    named = [(terms.attribution, terms.licence) for terms in survey_terms(city)]
    named += [(terms.attribution, terms.licence) for terms in layer_terms(city) if terms.use == "background"]
    return [pair for pair in dict.fromkeys(named) if pair[0]]


def road_map(
    traffic: NDArray[np.float32],
    level: NDArray[np.float32],
    sd: NDArray[np.float32],
    indicator: str,
    before: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Traffic energy of a day, as a map of road noise (Lden or Lnight, dB) makes it, and the sd in dB that is left.

    traffic : energy of one whole day's traffic passing within one hour; before : sd of maps taken in already, or empty
    """
    share = road_share(indicator)
    with np.errstate(divide="ignore", invalid="ignore"):
        model = np.float32(10) * np.log10(traffic * np.float32(share))
        mapped = np.isfinite(level) & np.isfinite(sd)
        prior = np.where(np.isfinite(before), before, np.float32(_ROAD_SD)) if before.size else np.float32(_ROAD_SD)
        trust = prior**2 / (prior**2 + sd**2)
        blended = np.where(np.isfinite(model), model + trust * (level - model), level)
        energy = np.power(np.float32(10), blended / np.float32(10)) / np.float32(share)
        left = np.sqrt(prior**2 * (1 - trust) + np.float32(_HOUR_SD**2))
    earlier = before if before.size else np.full(traffic.shape, np.nan, np.float32)
    return (
        np.where(mapped, energy, traffic).astype(np.float32),
        np.where(mapped, left, earlier).astype(np.float32),
    )


def road_share(indicator: str) -> float:
    """Energy of a road's Lden or Lnight, as a share of that of its whole day's traffic within one hour.

    Directive 2002/49/EC Annex I: evenings (19-23) count 5 dB more and nights (23-07) 10 dB more.
    """
    from analytics.sources import traffic_share

    hour = np.arange(24)
    moments = np.datetime64("2026-06-10T00:30", "ms") + hour * np.timedelta64(1, "h")
    by_hour = np.array([traffic_share(moment, "UTC") for moment in moments])
    night = (hour >= 23) | (hour < 7)
    if indicator == "lnight":
        return float(by_hour[night].mean())
    evening = (hour >= 19) & (hour < 23)
    return float((by_hour * np.where(night, 10.0, np.where(evening, 10**0.5, 1.0))).mean())


def _of(terms: LayerTerms, value: NDArray[np.float32], sd: NDArray[np.float32]) -> Stack:
    """One layer as a stack; it does not age, since it says which nights it is true of."""
    known = np.isfinite(value) & np.isfinite(sd)
    by = SIMULATED_BY if terms.origin == "simulated" else MEASURED_BY if terms.kind == "measured" else MODELLED_BY
    return Stack(
        value=np.where(known, value, np.float32(np.nan)).astype(np.float32)[np.newaxis],
        variance=np.where(known, sd * sd, np.float32(np.inf)).astype(np.float32)[np.newaxis],
        growth=np.zeros(1),
        night=np.zeros(1, np.int64),
        valid_from=np.array([night_number(terms.valid_from, -_FOREVER)], np.int64),
        valid_to=np.array([night_number(terms.valid_to, _FOREVER)], np.int64),
        by=np.array([by], np.int64),
    )


def _beyond_lamps(around: Surroundings, lux: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """Ln of a map of lx over the lamps' light at the level that they had."""
    from analytics.lamp_state import LampState
    from analytics.light import lamp_light

    n = around.lamps.easting.size
    lamps, _ = lamp_light(around, LampState(np.full(n, level), np.zeros(n), np.zeros(n, bool)))
    floor = np.float32(_LUX_FLOOR)
    beyond: NDArray[np.float32] = np.log((lux + floor) / (lamps + np.float32(GLOW_LUX) + floor))
    return beyond


def _hours(text: str) -> NDArray[np.bool_]:
    """Hours of the week (168,) that 'HH-HH' names, all for ''; hours of a week begin with a night's noon."""
    if not text:
        return np.ones(HOURS, bool)
    begin, end = ((int(part) - 12) % 24 for part in text.split("-"))
    hour = np.arange(24)
    day = (hour >= begin) & (hour < end) if begin < end else (hour >= begin) | (hour < end)
    return np.tile(day, 7)


def night_number(text: str, otherwise: int = 0) -> int:
    """A night named by its date, as `hours.evening_of` counts them; `otherwise` for ''."""
    return (date.fromisoformat(text) - date(1970, 1, 1)).days if text else otherwise
