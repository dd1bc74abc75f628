"""Height, slope and curvature of the posterior of an ordered probit, everyone's own level taken out block by block.

Answer i lies between the cuts lower[i] and upper[i] (-1: no cut on that side) and has latent mean

    eta_i = columns_i beta + level of its person

Coefficients and cuts have independent normal priors, levels N(0, person_sd^2). Instruments share beta and have cuts of
their own: `chains` says which cuts must ascend. Curvature is minus the second derivative. A level touches only its own
person's answers, so its row of the curvature is eliminated exactly (Schur complement); what is left is the curvature of
beta and the cuts when nobody's level is known.

The posterior is skew, so its mean is not its mode. With C the inverse curvature and f_klm the third derivatives there

    mean_j = mode_j + 1/2 sum over k of C_jk sum over l, m of f_klm C_lm

to the next order (Tierney, Kass & Kadane 1989, JASA 84, 710-716): with 150 answers and 200 waves the latent means of
places lie within 0.02 sd of those that sampling gives, where the mode alone is up to 0.11 away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg
from scipy.linalg.blas import dsyrk

from analytics.kernels.jit import over_rows
from analytics.kernels.probit import answer_terms

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

HALF_ANSWER = 0.5  # what holds two cuts apart that no answer parts (Jeffreys' half count)
_MAX_HALVINGS = 60
_MAX_STEPS = 100
_CHUNK = 4096
_DECREMENT = 1e-10  # a last move of 1e-5 sd: Newton's error is squared by it


@dataclass(frozen=True)
class Curvature:
    """Height of the log posterior with its slope and curvature in beta and then the cuts, levels taken out.

    level_slope, level_curvature : (persons,); across : (persons, p + cuts), curvature between levels and the rest
    """

    value: float
    slope: Floats
    curvature: Floats
    level_slope: Floats
    level_curvature: Floats
    across: Floats


@dataclass(frozen=True)
class Mode:
    """Where the posterior is highest: theta = beta and then cuts, levels of persons, and the curvature there."""

    theta: Floats
    levels: Floats
    at: Curvature
    factor: Floats  # lower Cholesky factor of the curvature
    steps: int


class OrderedPosterior:
    """The posterior of answers to one or more ordered items.

    columns : (n, p); lower, upper : (n,) indices of cuts, -1 outside; weight : (n,) what each answer counts
    mean, precision : (p + cuts,) of the priors, precision 0 is flat
    held_apart : indices j of cuts between which and j - 1 nobody answered
    person : (n,) index of the person of each answer from 0, or None; person_sd : sd of levels
    """

    def __init__(
        self,
        columns: Floats,
        lower: Ints,
        upper: Ints,
        weight: Floats,
        mean: Floats,
        precision: Floats,
        *,
        held_apart: tuple[int, ...] = (),
        chains: tuple[slice, ...] | None = None,
        person: Ints | None = None,
        person_sd: float = 0.0,
    ) -> None:
        self.columns, self.lower, self.upper, self.weight = columns, lower, upper, weight
        self.mean, self.precision, self.held_apart = mean, precision, held_apart
        self.n, self.p = columns.shape
        self.n_cuts = mean.size - self.p
        self.chains = (slice(0, self.n_cuts),) if chains is None else chains
        self.person, self.person_sd = person, person_sd
        self.n_persons = 0 if person is None else int(person.max(initial=-1)) + 1

    def value(self, theta: Floats, levels: Floats) -> float:
        """Height of the log posterior."""
        return float(self.weight @ self.terms(theta, levels)[:, 0]) + self._prior(theta, levels)

    def log_likelihood(self, theta: Floats, levels: Floats) -> float:
        """Weighted, without the priors."""
        return float(self.weight @ self.terms(theta, levels)[:, 0])

    def terms(self, theta: Floats, levels: Floats) -> Floats:
        """What `answer_terms` gives of each answer, (n, 6)."""
        terms = np.empty((self.n, 6))
        eta = self.columns @ theta[: self.p]
        if self.person is not None:
            eta += levels[self.person]
        cuts = np.ascontiguousarray(theta[self.p :])
        over_rows(answer_terms, self.n, eta, self.lower, self.upper, cuts, terms)
        return terms

    def curvature(self, theta: Floats, levels: Floats) -> Curvature:
        """Height, slope and curvature; the levels' own part beside."""
        terms = self.terms(theta, levels)
        w, p = self.weight, self.p
        da, db = w * terms[:, 1], w * terms[:, 2]
        daa, dbb, dab = w * terms[:, 3], w * terms[:, 4], w * terms[:, 5]
        slope, curve = np.zeros(theta.size), np.zeros((theta.size, theta.size))
        slope[:p] = -self.columns.T @ (da + db)
        slope[p:] = self._of_cuts(da, db)
        own = np.maximum(-(daa + dbb + 2 * dab), 0.0)  # the likelihood is concave (Pratt 1981); rounding is not
        self._in_columns(curve, own)
        across = self._in_cuts(curve, daa, dbb, dab)
        slope += self.precision * (self.mean - theta)
        curve[np.diag_indices(theta.size)] += self.precision
        for j in self.held_apart:
            gap = theta[p + j] - theta[p + j - 1]
            slope[[p + j, p + j - 1]] += HALF_ANSWER / gap * np.array([1.0, -1.0])
            curve[np.ix_([p + j, p + j - 1], [p + j, p + j - 1])] += (
                HALF_ANSWER / gap**2 * np.array([[1.0, -1.0], [-1.0, 1.0]])
            )
        value = float(w @ terms[:, 0]) + self._prior(theta, levels)
        if self.person is None:
            none = np.empty(0)
            return Curvature(value, slope, curve, none, none, np.empty((0, theta.size)))
        return self._without_levels(value, slope, curve, own, across, -(da + db), levels)

    def climb(self, theta: Floats, levels: Floats, value: float, move: Floats, lift: Floats) -> bool:
        """Add to theta and levels the first of the move, its half, its quarter... that gains height."""
        for halving in range(_MAX_HALVINGS):
            share = 0.5**halving
            candidate, others = theta + share * move, levels + share * lift
            if self.in_order(candidate) and self.value(candidate, others) > value:
                theta[:], levels[:] = candidate, others
                return True
        return False

    def in_order(self, theta: Floats) -> bool:
        """Whether the cuts of each instrument ascend."""
        return all(np.all(np.diff(theta[self.p :][chain]) > 0) for chain in self.chains)

    def mode(self, theta: Floats, levels: Floats | None = None) -> Mode:
        """Climb from `theta` to the highest point; numpy.linalg.LinAlgError where flat priors leave no single one."""
        theta = theta.copy()
        levels = np.zeros(self.n_persons) if levels is None else levels.copy()
        for step in range(1, _MAX_STEPS + 1):
            here = self.curvature(theta, levels)
            factor = scipy.linalg.cholesky(here.curvature, lower=True, check_finite=False)
            move = scipy.linalg.cho_solve((factor, True), here.slope, check_finite=False)
            lift = (here.level_slope - here.across @ move) / here.level_curvature
            gain = float(here.slope @ move + here.level_slope @ (here.level_slope / here.level_curvature))
            if gain < _DECREMENT or not self.climb(theta, levels, here.value, move, lift):
                return Mode(theta, levels, here, factor, step)
        raise np.linalg.LinAlgError("the posterior has no highest point that Newton's steps reach")

    def mean_at(self, mode: Mode) -> Floats:
        """Mean of beta and the cuts: the mode moved by what the skewness of the answers' likelihood does."""
        terms = self.terms(mode.theta, mode.levels)
        aa, bb, ab = self._spread(mode)
        aaa, aab, abb, bbb = self._thirds(terms)
        da = 0.5 * self.weight * (aaa * aa + 2 * aab * ab + abb * bb)
        db = 0.5 * self.weight * (aab * aa + 2 * abb * ab + bbb * bb)
        pull = np.concatenate([-self.columns.T @ (da + db), self._of_cuts(da, db)])
        if self.person is not None:
            of_levels = np.bincount(self.person, -(da + db), self.n_persons)
            pull -= mode.at.across.T @ (of_levels / mode.at.level_curvature)
        moved: Floats = mode.theta + scipy.linalg.cho_solve((mode.factor, True), pull, check_finite=False)
        return moved if self.in_order(moved) else mode.theta

    def log_evidence(self, mode: Mode) -> float:
        """Laplace's approximation of the log probability of the answers, up to what does not depend on the priors."""
        known = self.precision > 0
        out = mode.at.value + 0.5 * float(np.log(self.precision[known]).sum())
        out -= float(np.log(np.diag(mode.factor)).sum())
        if self.person is not None:
            out -= 0.5 * float(np.log(mode.at.level_curvature).sum()) + self.n_persons * np.log(self.person_sd)
        return out

    def _spread(self, mode: Mode) -> tuple[Floats, Floats, Floats]:
        """Variances and covariance of cut below and cut above minus latent mean, (n,) each; 0 where there is no cut."""
        to_cuts = np.zeros((mode.theta.size, self.n_cuts))
        to_cuts[self.p :] = np.eye(self.n_cuts)
        cuts = scipy.linalg.solve_triangular(mode.factor, to_cuts, lower=True, check_finite=False)
        among = cuts.T @ cuts
        out = np.zeros((3, self.n))
        for first in range(0, self.n, _CHUNK):
            rows = slice(first, first + _CHUNK)
            form = np.zeros((len(self.columns[rows]), mode.theta.size))
            form[:, : self.p] = self.columns[rows]
            own: float | Floats = 0.0
            if self.person is not None:
                person = self.person[rows]
                form -= (mode.at.across / mode.at.level_curvature[:, None])[person]
                own = 1.0 / mode.at.level_curvature[person]
            half = scipy.linalg.solve_triangular(mode.factor, form.T, lower=True, check_finite=False)
            latent, beside = np.einsum("ij,ij->j", half, half) + own, half.T @ cuts
            number, low, high = np.arange(len(form)), self.lower[rows], self.upper[rows]
            out[0, rows] = (latent - 2 * beside[number, low] + among[low, low]) * (low >= 0)
            out[1, rows] = (latent - 2 * beside[number, high] + among[high, high]) * (high >= 0)
            joint = latent - beside[number, low] - beside[number, high] + among[low, high]
            out[2, rows] = joint * ((low >= 0) & (high >= 0))
        return out[0], out[1], out[2]

    def _of_cuts(self, da: Floats, db: Floats) -> Floats:
        """What the answers' slopes in the cuts below and above them add up to, (cuts,)."""
        return _by_cut(self.lower, da, self.n_cuts) + _by_cut(self.upper, db, self.n_cuts)

    def _thirds(self, terms: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Third derivatives of each answer's log P in a and b; 0 in an infinite end.

        With r_a and r_b as in `kernels.probit`, a r_a = daa + r_a^2 and b r_b = -dbb - r_b^2.
        """
        ra, rb, daa, dbb = -terms[:, 1], terms[:, 2], terms[:, 3], terms[:, 4]
        a = np.divide(daa + ra**2, ra, out=np.zeros(self.n), where=ra > 0)
        b = np.divide(-dbb - rb**2, rb, out=np.zeros(self.n), where=rb > 0)
        return ra + (2 * ra - a) * daa, ra * rb * (2 * ra - a), -ra * rb * (2 * rb + b), -rb - (2 * rb + b) * dbb

    def _in_columns(self, curve: Floats, own: Floats) -> None:
        if not self.p or not self.n:
            return
        scaled = self.columns * np.sqrt(own)[:, None]
        half = dsyrk(1.0, scaled.T, lower=0)  # scaled.T is in Fortran's order, so nothing is copied
        curve[: self.p, : self.p] = np.triu(half) + np.triu(half, 1).T

    def _in_cuts(self, curve: Floats, daa: Floats, dbb: Floats, dab: Floats) -> Floats:
        """Fill the rows of the cuts; what each answer has between its latent mean and each cut, (n, cuts)."""
        p = self.p
        across = np.zeros((self.n, self.n_cuts))
        rows = np.arange(self.n)
        below, above = self.lower >= 0, self.upper >= 0
        across[rows[below], self.lower[below]] += (daa + dab)[below]
        across[rows[above], self.upper[above]] += (dbb + dab)[above]
        curve[:p, p:] = self.columns.T @ across
        curve[p:, :p] = curve[:p, p:].T
        cuts = np.arange(p, p + self.n_cuts)
        curve[cuts, cuts] -= _by_cut(self.lower, daa, self.n_cuts) + _by_cut(self.upper, dbb, self.n_cuts)
        both = below & above
        np.add.at(curve, (p + self.lower[both], p + self.upper[both]), -dab[both])
        np.add.at(curve, (p + self.upper[both], p + self.lower[both]), -dab[both])
        return across

    def _without_levels(
        self, value: float, slope: Floats, curve: Floats, own: Floats, across: Floats, pull: Floats, levels: Floats
    ) -> Curvature:
        person, n = self.person, self.n_persons
        assert person is not None
        precision = 1.0 / self.person_sd**2
        level_slope = np.bincount(person, pull, n) - precision * levels
        level_curvature = np.bincount(person, own, n).astype(np.float64) + precision
        beside = np.zeros((n, slope.size))
        order = np.argsort(person, kind="stable")
        firsts = np.flatnonzero(np.diff(person[order], prepend=-1))
        heard = person[order][firsts]
        beside[heard, : self.p] = np.add.reduceat(self.columns[order] * own[order, None], firsts, axis=0)
        beside[heard, self.p :] = np.add.reduceat(across[order], firsts, axis=0)
        scaled = beside / np.sqrt(level_curvature)[:, None]
        half = dsyrk(1.0, scaled.T, lower=0)
        curve = curve - (np.triu(half) + np.triu(half, 1).T)
        slope = slope - beside.T @ (level_slope / level_curvature)
        return Curvature(value, slope, curve, level_slope, level_curvature, beside)

    def _prior(self, theta: Floats, levels: Floats) -> float:
        held = sum(HALF_ANSWER * np.log(theta[self.p + j] - theta[self.p + j - 1]) for j in self.held_apart)
        own = 0.5 * float(levels @ levels) / self.person_sd**2 if self.person is not None else 0.0
        return float(-0.5 * self.precision @ (theta - self.mean) ** 2 + held) - own


def between(category: Ints, first_cut: Ints | int, n_categories: Ints | int) -> tuple[Ints, Ints]:
    """Indices of the cuts below and above answers, -1 outside.

    category : (n,) 1..K; first_cut : where the cuts of each answer's instrument begin; n_categories : its K
    """
    lower = np.where(category > 1, first_cut + category - 2, -1)
    upper = np.where(category < n_categories, first_cut + category - 1, -1)
    return lower.astype(np.int64), upper.astype(np.int64)


def _by_cut(which: Ints, value: Floats, n_cuts: int) -> Floats:
    inside = which >= 0
    return np.bincount(which[inside], value[inside], n_cuts).astype(np.float64)
