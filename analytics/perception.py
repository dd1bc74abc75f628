"""How safe people are likely to feel: one response fitted to what people answered, laid over the fields.

An ordered probit (`analytics.ordinal`) of the covariates of `analytics.covariates` with their priors gives the slow
part, fitted at noon. `fuse` is the live part: it puts a step's fields through the fitted response and carries along how
unsure the coefficients are, how unsure the fields are and how little is known of the place itself. It estimates what
people report feeling about places and nothing about any person; crime is no input.

Of each group class g (women or not, 65 and over or not) the latent distance to the "feels safe" cut is m_g with
variance v_g; the population view is P = sum of share_g Phi(m_g / sqrt(1 + v_g)), its sd by the delta rule.
Group effects that do not change with the place spread within a class: their variance joins v_g.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.special import ndtr, ndtri

from analytics import covariates
from analytics.covariates import COLUMN, FEATURES, NAMES, Floats
from analytics.fitting import fit_perception
from analytics.kernels.jit import over_rows
from analytics.kernels.probit import population_view
from analytics.kernels.squares import square_means
from analytics.response import Classes, Perception
from analytics.sky import darkness
from analytics.squares import Squares
from analytics.views import GAP, OF
from sensors.city import City

__all__ = [
    "INVITATION",
    "NOTE",
    "Perception",
    "compile_view",
    "fit_perception",
    "fuse",
    "safety_change",
    "total_sd",
    "weighted_change",
]

INVITATION = "Nobody has been asked here yet, so nothing is said about how safe people feel: import answers to see it."
PATTERN_OF_A_MODEL = "the level of areas follows published shares; what streets within them differ by is a model's"
LEVEL_WITH_SHARES = "published shares of areas had a part in the level"
NOTE = "how safe people feel, not how safe a place is; an association with tonight's conditions"

_N = len(FEATURES)
_LIGHT, _EVEN, _PEOPLE, _CROWD, _NOISE, _REST, _CLOSING, _CAMERA, _STAFF, _PATROL, _COLOUR, _VIEW, _LIGHT_OPEN = range(
    _N
)
_AFTER_DARK = [COLUMN[name] for name in covariates.AFTER_DARK]
_WOMAN_CROSSED = {
    _LIGHT: COLUMN["woman_light"],
    _PEOPLE: COLUMN["woman_people"],
    _CAMERA: COLUMN["woman_camera"],
    _STAFF: COLUMN["woman_staff"],
    _PATROL: COLUMN["woman_patrol"],
}
_OLDER_CROSSED = {_LIGHT: COLUMN["older_light"]}
# Which features change with an sd of light (0), people (1) and noise (2).
_STEP_FEATURE = np.array([_LIGHT, _EVEN, _LIGHT_OPEN, _PEOPLE, _CROWD, _REST, _NOISE, _REST])
_STEP_FIELD = np.array([0, 0, 0, 1, 1, 1, 2, 2])
_E = _STEP_FEATURE.size
_TIME_TERMS = ("hour_18", "hour_00", "hour_03", "hour_06", "weekend")
_PARTS = ("goes_light", "goes_people", "goes_noise", "goes_hour", "goes_presence", "goes_view")


def fuse(
    fields: xr.Dataset, perception: Perception, city: City, indoor: npt.NDArray[np.bool_] | None = None
) -> xr.Dataset:
    """Fields with how safe people are likely to feel in them: P, sd, evidence, expected category, what goes with it.

    fields : of one step, dims (time=1, northing, easting), as `fields_at` gives them
    indoor : (northing, easting); with it also, constant in each 50 m cell, the views of single groups and the gaps
    between them ('safety_of_' and the view, and its sd), and where conditions are unlike any that was answered in
    """
    dims, shape = fields["illuminance"].dims, fields["illuminance"].shape
    if perception.silent:
        values = {name: np.full(shape, np.nan, np.float32) for name in _LONG_NAMES}
        values["safety_evidence"] = np.where(np.isfinite(fields["illuminance"]), 0.0, np.nan).astype(np.float32)
        note: dict[str, Any] = {"invitation": INVITATION}
    else:
        state = _Step(fields, perception, city)
        values = {name: value.reshape(shape) for name, value in state.view().items()}
        if indoor is not None:
            values |= {name: value.reshape(shape) for name, value in state.of_groups(~indoor).items()}
        note = {"people": perception.classes.frame, "answers": perception.n_answers, "newest_answer": perception.newest}
        if perception.n_shares:
            note |= {"shares": perception.n_shares, "shares_of": perception.shares_of}
            note["basis"] = PATTERN_OF_A_MODEL if not perception.n_answers else LEVEL_WITH_SHARES
    layers = {name: fields.variables[name] for name in fields.data_vars} | {
        name: xr.Variable(dims, value, {"units": _UNITS.get(name, "1"), "long_name": _long_name(name)})
        for name, value in values.items()
    }
    layers["safety"].attrs |= note | {"note": NOTE}
    return xr.Dataset(layers, fields.coords, fields.attrs)


def safety_change(before: xr.Dataset, after: xr.Dataset, perception: Perception, city: City) -> xr.Dataset:
    """Change of P(feels safe) from one set of fields to another of the same step, with its 90 % interval.

    The same coefficients, people and place stand behind both, so their uncertainty is carried for the difference: far
    less than that of either. What sensors leave open is shared too and is left out. Gives `safety_change`,
    `safety_change_low` and `safety_change_high`, -1..1.
    """
    dims, shape = before["illuminance"].dims, before["illuminance"].shape
    if perception.silent:
        change = sd = np.full(shape, np.nan)
    else:
        first, second = _Step(before, perception, city), _Step(after, perception, city)
        (p_first, slope_first), (p_second, slope_second) = first.slopes(), second.slopes()
        slope = slope_second - slope_first
        joint = _joint(second.response, perception)
        variance = np.einsum("ij,jk,ik->i", slope[:, :-1], joint, slope[:, :-1], optimize=True)
        across = second.across()[second.squares]
        variance += slope[:, -1] * (slope[:, -1] * second.own.variance[second.squares])
        variance += 2 * slope[:, -1] * np.einsum("ij,ij->i", slope[:, :-1], across)
        change, sd = (p_second - p_first).reshape(shape), np.sqrt(np.maximum(variance, 0)).reshape(shape)
    half = float(ndtri(0.95)) * sd
    out = xr.Dataset(coords=before.coords)
    for name, value in (("", change), ("_low", change - half), ("_high", change + half)):
        out[f"safety_change{name}"] = (dims, value.astype(np.float32), {"units": "1", "note": "association"})
    return out


def weighted_change(
    before: xr.Dataset, after: xr.Dataset, weight: Floats, perception: Perception, city: City
) -> tuple[Floats, Floats, Floats]:
    """Weighted sums over cells of the change of P(feels safe), with what their uncertainty is made of.

    weight : (k, cells) of k sums; cells of no weight may be unknown
    Gives the sums (k,), their slope in all coefficients (k, p+K-1) and in each cell's own effect (k, cells): sums of
    several steps add up, and `total_sd` gives the sd of the total.
    """
    first, second = _Step(before, perception, city), _Step(after, perception, city)
    (p_first, slope_first), (p_second, slope_second) = first.slopes(), second.slopes()
    used = (weight != 0).any(axis=0)
    change, slope = (p_second - p_first)[used], (slope_second - slope_first)[used]
    own = np.zeros_like(weight, dtype=np.float64)
    own[:, used] = weight[:, used] * slope[:, -1]
    return weight[:, used] @ change, weight[:, used] @ slope[:, :-1] @ second.response.columns, own


def total_sd(slope: Floats, own: Floats, perception: Perception, grid_northing: Floats, grid_easting: Floats) -> Floats:
    """Sd (k,) of sums that `weighted_change` gave: one set of coefficients behind all, own effects moving together.

    That own effects all move together is not so beyond a few hundred metres: it errs on the wide side. Late effects
    are taken as they are from 01:00 on.
    """
    now, square = perception.own.at(1.0), perception.own.cells(grid_northing, grid_easting)
    variance: Floats = np.einsum("ij,jk,ik->i", slope, perception.covariance, slope)
    variance += (np.abs(own) @ np.sqrt(now.variance)[square]) ** 2
    variance += 2 * np.einsum("ij,ij->i", slope, own @ now.across[square])
    return np.sqrt(np.maximum(variance, 0))


def compile_view() -> None:
    """Compile the loops behind `fuse` into the cache, for `warmup`."""
    half = np.zeros((1, _N), np.float32)
    whole, one, cuts = np.zeros((1, _N + 1), np.float32), np.ones(1, np.float32), np.zeros(2, np.float32)
    steps, out, square = np.zeros((1, _E), np.float32), np.empty((1, 4), np.float32), np.zeros(1, np.int32)
    forms, joint, place = (np.zeros(n, np.float32) for n in ((1, _N + 1, _N + 1), (1, 1), (_N, _N)))
    edges = np.array([0, 1])
    over_rows(
        square_means, 1, edges, edges, np.zeros((1, 1), np.int32), half, steps, half, whole[0, :_N],
        np.empty((1, 1, 2 * _N + _E + 2), np.float32),
    )  # fmt: skip
    over_rows(
        population_view, 1, half, steps, _STEP_FEATURE, _STEP_FIELD, square, np.zeros((1, 2), np.float32), joint,
        half, one, whole, forms, one, cuts, np.zeros((1, _N + 1), np.int64), joint, place, half[0],
        np.float32(1), np.float32(0), one, out,
    )  # fmt: skip


_LONG_NAMES = {
    "safety": "share of people expected to feel safe",
    "safety_sd": "standard deviation of that share",
    "safety_score": "expected answer, 1 very unsafe to 4 very safe",
    "safety_evidence": "how far answers, not assumptions, stand behind it",
    "goes_light": "what goes with it: light, against the city's mean night",
    "goes_people": "what goes with it: people around, against the city's mean night",
    "goes_noise": "what goes with it: sound, against the city's mean night",
    "goes_hour": "what goes with it: the hour, against the night's mean",
    "goes_view": "what goes with it: how open the view is, against the city's mean",
    "goes_presence": "what goes with it: cameras, staff or a patrol in view, against none",
    "safety_beyond": "whether conditions are unlike any that was answered in",
}
_UNITS = dict.fromkeys(_PARTS, "probit")


@dataclass(frozen=True)
class _Response:
    """The response at one moment, in the coordinates of a place: see `population_view`."""

    load: Floats
    variance: Floats
    cut_steps: Floats
    route: npt.NDArray[np.int64]
    columns: Floats  # (r, p+K-1): what of all coefficients each gradient coordinate touches


class _Step:
    """One step's fields against a response."""

    def __init__(self, fields: xr.Dataset, perception: Perception, city: City) -> None:
        self.perception = perception
        self.time = fields["time"].to_numpy().astype("datetime64[ms]")[0]
        self.zone = city.zone
        places = perception.places
        middle = self.time + np.timedelta64(city.settings.night.step_minutes * 30_000, "ms")
        self.dark = darkness(middle, places.latitude, places.longitude)
        self.grid = fields["illuminance"].shape[-2:]
        # Houses and water are a third to two thirds of a city: only cells of which light is known are worked on.
        self.known = np.flatnonzero(np.isfinite(_plane(fields["illuminance"])))
        self.raw, self.features, self.steps = self._features(fields, city.settings.grid.cell_m)
        self.squares = perception.own.cells(fields.northing.to_numpy(), fields.easting.to_numpy())
        self.square = self.squares[self.known]
        self.own = perception.own.at(float(covariates.late(np.array([self.time]), city.zone)[0]))
        self.response = self._response(perception.classes)

    def _response(self, classes: Classes) -> _Response:
        return _response(self.perception, classes, self.time, self.dark, self.zone)

    def view(self) -> dict[str, npt.NDArray[np.float32]]:
        """The four numbers of each cell and what goes with them, (cells,) f4 each."""
        none = np.zeros(len(self.features), np.float32)
        out = self._seen(self.perception.classes, self.response, self.features, self.steps, self.square, none)
        parts = dict(zip(("safety", "safety_sd", "safety_score", "safety_evidence"), out.T, strict=True))
        return {name: self._laid(value) for name, value in (parts | self._goes_with()).items()}

    def _laid(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values of the known cells laid out over all, (cells, ...), NaN elsewhere."""
        out = np.full((self.squares.size, *values.shape[1:]), np.nan, values.dtype)
        out[self.known] = values
        return out

    def of_groups(self, outdoors: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[np.float32]]:
        """Views of single groups and gaps between them, and where conditions are beyond all answers, (cells,) f4 each.

        A view stands for the 50 m cell: its features are the means of its cells outdoors, and how their latent means
        differ is one more variance, since the mean of Phi over a normal distribution is Phi of the mean over
        sqrt(1 + variance). A twenty-fifth of the cells, so that a dozen views cost less than the map of everyone.
        """
        square = self.squares.reshape(self.grid)
        row, column = square[:, 0] // self.perception.own.mean_u.shape[1], square[0]
        squares = Squares(row - row[0], column - column[0])
        square = squares.corners(square)
        where = np.full(self.squares.size, -1, np.int32)
        where[self.known] = np.arange(self.known.size)
        where = np.where(outdoors, where.reshape(self.grid), np.int32(-1))
        load = (self.perception.classes.share @ self.response.load[:, :_N]).astype(np.float32)
        rows, columns = squares.edges
        mean = np.empty((rows.size - 1, columns.size - 1, 2 * _N + _E + 2), np.float32)
        over_rows(square_means, len(mean), rows, columns, where, self.features, self.steps, self.raw, load, mean)
        parts = np.split(mean.reshape(-1, mean.shape[-1]), [_N, _N + _E, 2 * _N + _E, 2 * _N + _E + 1], axis=1)
        features, steps, raw, centre, power = (np.ascontiguousarray(part) for part in parts)
        apart = np.maximum(power - centre**2, 0)[:, 0].astype(np.float32)
        found: dict[str, npt.NDArray[np.float32]] = {}
        for name, classes in self.perception.views.items():
            response = replace(self._response(classes), cut_steps=np.zeros(0))  # no expected answer of a group is told
            seen = self._seen(classes, response, features, steps, square, apart)
            found |= {f"{OF}{name}": seen[:, 0], f"{OF}{name}_sd": seen[:, 1]}
        found["safety_beyond"] = self.perception.applicability.beyond(raw).astype(np.float32)
        return {name: squares.spread(value) for name, value in found.items()}

    def _seen(
        self,
        classes: Classes,
        response: _Response,
        features: npt.NDArray[np.float32],
        steps: npt.NDArray[np.float32],
        square: npt.NDArray[np.int32],
        apart: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.float32]:
        """P, sd, score and evidence (n, 4) of some people in conditions (n, q) of 50 m cells (n,)."""
        perception = self.perception
        place = np.ix_(range(_N), range(_N))
        out = np.empty((len(features), 4), np.float32)
        over_rows(
            population_view,
            len(out),
            features,
            steps,
            _STEP_FEATURE,
            _STEP_FIELD,
            square,
            np.column_stack([self.own.mean, self.own.variance]).astype(np.float32),
            (self.own.across @ response.columns.T).astype(np.float32),
            np.ascontiguousarray(self.own.across[:, :_N], np.float32),
            classes.share.astype(np.float32),
            response.load.astype(np.float32),
            response.variance.astype(np.float32),
            classes.spread.astype(np.float32),
            response.cut_steps.astype(np.float32),
            response.route,
            _joint(response, perception).astype(np.float32),
            np.ascontiguousarray(perception.covariance[place], np.float32),
            (perception.prior_sd[:_N] ** 2).astype(np.float32),
            np.float32(self.own.prior_variance),
            np.float32(perception.own.person_variance),
            apart,
            out,
        )
        return out

    def slopes(self) -> tuple[Floats, Floats]:
        """P of each cell, and its slope in the gradient coordinates and the place's own effect, (cells, r + 1)."""
        perception, response = self.perception, self.response
        x = np.column_stack([self.features.astype(np.float64), np.ones(len(self.features))])
        p = np.zeros(len(x))
        slope = np.zeros((len(x), len(response.columns) + 1))
        across = self.across()[self.square]
        for g, share in enumerate(perception.classes.share):
            m = x @ response.load[g] + self.own.mean[self.square]
            v = perception.classes.spread[g] + np.einsum("ij,jk,ik->i", x, response.variance[g], x, optimize=True)
            v += 2 * np.einsum("ij,ij->i", x, across[:, response.route[g]])
            v += self.own.variance[self.square] + perception.own.person_variance
            scale = 1 / np.sqrt(1 + np.maximum(v, 0))
            z = m * scale
            p += share * ndtr(z)
            weight = share * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) * scale
            for feature, coordinate in enumerate(response.route[g]):
                slope[:, coordinate] += weight * x[:, feature]
            slope[:, -1] += weight
        return self._laid(p), self._laid(slope)

    def across(self) -> Floats:
        """Covariance of each 50 m cell's own effect with the gradient coordinates, (c, r)."""
        return np.ascontiguousarray(self.own.across @ self.response.columns.T)

    def _features(
        self, fields: xr.Dataset, cell_m: float
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Features of the known cells as they are and held within the answers' range, (n, 13) f4 each.

        And their change by one sd of light, people and noise, (n, 8) f4.
        """
        scales, dark = self.perception.scales, np.float32(self.dark)
        illuminance = _plane(fields["illuminance"])
        even = covariates.evenness(illuminance, _plane(fields["illuminance_min"]), cell_m)
        even = np.where(np.isnan(even), np.float32(scales.even), even).ravel()[self.known]
        lux, level = illuminance.ravel()[self.known], self._of(fields["noise"])
        footfall, closing = self._of(fields["footfall"]), self._closing()
        raw = covariates.raw_features(
            lux, even, level, footfall, closing, scales.noise_on_people, self._presence(), self._lie()
        )
        raw[:, _AFTER_DARK] *= dark
        features = np.clip(raw, scales.low.astype(np.float32), scales.high.astype(np.float32))
        if dark < 1:  # in daylight the light columns are below what the answers after dark saw
            features[:, _AFTER_DARK] = raw[:, _AFTER_DARK]
        light = covariates.light_slope(lux) * self._of(fields["illuminance_sd"]) * dark
        ln_people = self._of(fields["footfall_sd"])
        people = covariates.people_slope(footfall) * ln_people
        noise = self._of(fields["noise_sd"]) / np.float32(10)
        unexplained = people * np.float32(-scales.noise_on_people[1] / 10)
        crowd = np.where(raw[:, _CROWD] > 0, ln_people, np.float32(0))
        in_the_open = light * features[:, _VIEW]
        steps = np.stack([light, light * even, in_the_open, people, crowd, unexplained, noise, noise], axis=-1)
        self._fill_unknown(features, steps)
        return raw, features, steps

    def _of(self, field: xr.DataArray) -> npt.NDArray[np.float32]:
        return _plane(field).ravel()[self.known]

    def _fill_unknown(self, features: npt.NDArray[np.float32], steps: npt.NDArray[np.float32]) -> None:
        """Where people or noise are not known they can be anything that the answers saw."""
        scales = self.perception.scales
        for feature in range(_PEOPLE, _N):
            unknown = np.isnan(features[:, feature])
            if unknown.any():
                features[unknown, feature] = scales.typical[feature]
                changed = np.flatnonzero(feature == _STEP_FEATURE)
                steps[np.ix_(np.flatnonzero(unknown), changed)] = scales.typical_sd[feature]

    def _closing(self) -> npt.NDArray[np.float32]:
        places = self.perception.places
        if not places.closes_min.size:
            return np.zeros(self.known.size, np.float32)
        number = places.closes_min.size
        each = np.full(number, self.time)
        wave = covariates.closing_wave(each, places.closes_min, np.eye(number), self.zone)
        around = np.zeros(places.nearness.shape[1:], np.float32)
        for height, near in zip(wave, places.nearness, strict=True):
            if height > 1e-3:
                np.maximum(around, np.float32(height) * near, out=around)
        return around.ravel()[self.known]

    def _presence(self) -> npt.NDArray[np.float32] | None:
        """How near cameras, staff and patrols are to each cell now, (cells, 3); None where the city tells of none."""
        places = self.perception.places
        if not places.presence_kind.size:
            return None
        near = places.presence_near.reshape(places.presence_kind.size, -1)[:, self.known].T
        now = np.full(self.known.size, self.time)
        return covariates.presence_near(
            now, places.presence_kind, places.presence_from, places.presence_to, near, self.zone
        )

    def _lie(self) -> npt.NDArray[np.float32]:
        places = self.perception.places
        return np.column_stack([places.colour.ravel()[self.known], places.view.ravel()[self.known]])

    def _goes_with(self) -> dict[str, npt.NDArray[np.float32]]:
        """Contribution of light, people and noise against the city's mean night, of the hour against the night's."""
        perception = self.perception
        share = perception.classes.share
        load = (share @ self.response.load[:, :_N]).astype(np.float32)
        away = self.features - perception.scales.city_mean.astype(np.float32)
        groups = {
            "goes_light": [_LIGHT, _EVEN, _COLOUR, _LIGHT_OPEN],
            "goes_view": [_VIEW],
            "goes_people": [_PEOPLE, _CROWD],
            "goes_noise": [_NOISE, _REST],
        }
        goes = {name: away[:, columns] @ load[columns] for name, columns in groups.items()}
        if self.perception.places.presence_kind.size:
            goes["goes_presence"] = self.features[:, _CAMERA : _PATROL + 1] @ load[_CAMERA : _PATROL + 1]
        goes["goes_hour"] = away[:, _CLOSING] * load[_CLOSING] + np.float32(self._hour_against_night())
        return {name: value.astype(np.float32) for name, value in goes.items()}

    def _hour_against_night(self) -> float:
        """The height of the hour's curve above its mean from 20:00 to 06:00."""
        beta = self.perception.mean[[COLUMN[name] for name in _TIME_TERMS[:4]]]
        late = (
            float(self.perception.classes.share @ self.perception.classes.woman)
            * self.perception.mean[COLUMN["woman_late"]]
        )
        hours = np.concatenate(
            [covariates.hours_into_night(np.array([self.time]), self.zone), np.arange(2.0, 12.0, 0.25)]
        )
        curve = covariates.hour_curve(hours) @ beta + late * (hours - 3.0) / 6
        return float(curve[0] - curve[1:].mean())


def _long_name(name: str) -> str:
    if not name.startswith(OF):
        return _LONG_NAMES[name]
    view = name.removeprefix(OF).removesuffix("_sd")
    gap = view.startswith(GAP)
    what = f"share of {view.removeprefix(GAP)} expected to feel safe" + (" less that of those beside" if gap else "")
    return f"standard deviation of the {what}" if name.endswith("_sd") else what


def _response(perception: Perception, classes: Classes, time: np.datetime64, dark: float, zone: ZoneInfo) -> _Response:
    """The fitted response at one moment as a linear form in (features, 1) for each class."""
    size = len(perception.names)
    p = len(NAMES)
    moment = covariates.time_design(np.array([time]), zone)[0]
    late = float(covariates.lateness(np.array([time]), zone)[0])
    safe = p + perception.safe_from - 2
    forms = np.zeros((classes.share.size, _N + 1, size))  # class, feature, coefficient
    for g in range(classes.share.size):
        forms[g, range(_N), range(_N)] = 1
        for feature, column in _WOMAN_CROSSED.items():
            forms[g, feature, column] = classes.woman[g]
        for feature, column in _OLDER_CROSSED.items():
            forms[g, feature, column] = classes.older[g]
        forms[g, _N, :p] = moment + classes.group[g]
        forms[g, _N, COLUMN["woman_late"]] = classes.woman[g] * late
        forms[g, _N, COLUMN["day"]] = 1 - dark
        forms[g, _N, safe] = -1
    columns, back = np.unique(forms.reshape(-1, size), axis=0, return_inverse=True)
    return _Response(
        load=forms @ perception.mean,
        variance=forms @ perception.covariance @ forms.transpose(0, 2, 1),
        cut_steps=np.delete(perception.cuts, perception.safe_from - 2) - perception.mean[safe],
        route=back.reshape(forms.shape[:2]).astype(np.int64),
        columns=columns,
    )


def _joint(response: _Response, perception: Perception) -> Floats:
    return np.ascontiguousarray(response.columns @ perception.covariance @ response.columns.T)


def _plane(field: xr.DataArray) -> npt.NDArray[np.float32]:
    values = field.to_numpy()
    return np.asarray(values[0] if values.ndim == 3 else values, np.float32)
