"""A walk of bounded length past the places that together are worth most: the orienteering problem, by a heuristic.

Places are put in one after the other, each time the one that brings most for the way it adds; the order of visits is
mended by 2-opt and by moving single places; then places are exchanged while that brings more. What a set of places is
worth may be anything that only grows with the set. On small graphs the tests compare it with every walk there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Worth = Callable[[tuple[int, ...]], float]

_LEAST_WAY_M = 1.0  # a place on the way costs nothing; dividing by less than this would say no more
_LESS = 1e-9


def best_walk(
    way_m: Floats,
    worth: Worth,
    *,
    longest_m: float,
    most: int,
    together: npt.NDArray[np.bool_],
    first: int,
    last: int | None = None,
    loop: bool = True,
) -> list[int]:
    """Places in the order of the walk, from `first` on; to `last` where it is given, back to `first` on a loop.

    Parameters
    ----------
    way_m : (n, n) array
        Walking distances between the places, in metres, inf where no way leads.
    worth : callable
        What a set of places, in ascending order, is worth; never less for a larger set.
    longest_m : float
        Length of the whole walk at most, the way back of a loop included.
    most : int
        Number of places at most.
    together : (n, n) bool array
        Whether two places may be on one walk, for those that stand too close.
    """
    fixed = [first] if last is None or last == first else [first, last]
    walk = list(fixed)
    kept = len(fixed)
    while True:
        grown = _grown(walk, way_m, worth, longest_m, most, together, kept, loop)
        bettered = _exchanged(grown, way_m, worth, longest_m, together, fixed, loop)
        if worth(_set(bettered)) <= worth(_set(walk)) * (1 + _LESS) and len(bettered) == len(walk):
            return bettered
        walk = bettered


def walk_length(walk: Sequence[int], way_m: Floats, loop: bool) -> float:
    """The length of a walk in metres, the way back of a loop included.

    >>> walk_length([0, 1], np.array([[0.0, 5.0], [5.0, 0.0]]), loop=True)
    10.0
    """
    onward = [*walk[1:], walk[0]] if loop else list(walk[1:])
    return float(sum(way_m[one, other] for one, other in zip(walk, onward, strict=False) if one != other))


def shortened(walk: Sequence[int], way_m: Floats, loop: bool, ends: int = 1) -> list[int]:
    """The same places in a shorter order: stretches turned round (2-opt) and single places moved, until none helps.

    ends : how many places of the walk stay at its ends: the first, or the first and the last
    """
    best = list(walk)
    length = walk_length(best, way_m, loop)
    stop = len(best) - (ends - 1)
    found = True
    while found:
        found = False
        for tried in _neighbours(best, stop):
            new = walk_length(tried, way_m, loop)
            if new < length - _LESS * max(length, 1):
                best, length, found = tried, new, True
                break
    return best


def _neighbours(walk: list[int], stop: int) -> list[list[int]]:
    """Orders one turn or one move away; places before 1 and from `stop` on stay."""
    pairs = [(i, j) for i in range(1, stop) for j in range(i + 1, stop)]
    out = [[*walk[:i], *walk[i : j + 1][::-1], *walk[j + 1 :]] for i, j in pairs]
    for i in range(1, stop):
        rest = [*walk[:i], *walk[i + 1 :]]
        out += [[*rest[:j], walk[i], *rest[j:]] for j in range(1, stop) if j != i]
    return out


def _grown(
    walk: list[int],
    way_m: Floats,
    worth: Worth,
    longest_m: float,
    most: int,
    together: npt.NDArray[np.bool_],
    ends: int,
    loop: bool,
) -> list[int]:
    """Places put in while any fits, each the one that brings most for the way it adds."""
    walk = list(walk)
    while len(walk) < most:
        now, length = worth(_set(walk)), walk_length(walk, way_m, loop)
        best: tuple[float, list[int]] | None = None
        for place in np.flatnonzero(together[walk].all(axis=0)):
            if place in walk:
                continue
            tried, added = _put_in(walk, int(place), way_m, ends, loop)
            if not length + added <= longest_m:
                continue
            gain = (worth(_set(tried)) - now) / max(added, _LEAST_WAY_M)
            if best is None or gain > best[0]:
                best = (gain, tried)
        if best is None:
            shorter = shortened(walk, way_m, loop, ends)
            if shorter == walk:
                return walk
            walk = shorter
            continue
        walk = shortened(best[1], way_m, loop, ends)
    return walk


def _put_in(walk: list[int], place: int, way_m: Floats, ends: int, loop: bool) -> tuple[list[int], float]:
    """A walk with a place where it adds least way, and how much it adds."""
    before = np.array(walk)
    after = np.array([*walk[1:], walk[0]])
    added = way_m[before, place] + way_m[place, after] - way_m[before, after]
    if len(walk) == 1:
        added = np.array([2 * way_m[walk[0], place] if loop else way_m[walk[0], place]])
    elif not loop:
        added[-1] = np.inf if ends == 2 else way_m[walk[-1], place]
    at = int(np.argmin(added))
    return [*walk[: at + 1], place, *walk[at + 1 :]], float(added[at])


def _exchanged(
    walk: list[int],
    way_m: Floats,
    worth: Worth,
    longest_m: float,
    together: npt.NDArray[np.bool_],
    fixed: list[int],
    loop: bool,
) -> list[int]:
    """One place exchanged for another while that brings more within the length."""
    best, value = list(walk), worth(_set(walk))
    found = True
    while found:
        found = False
        for leaving in [place for place in best if place not in fixed]:
            rest = [place for place in best if place != leaving]
            for place in np.flatnonzero(together[rest].all(axis=0)):
                if place in best:
                    continue
                new = worth(_set([*rest, int(place)]))
                if new <= value * (1 + _LESS):
                    continue
                tried = shortened(_put_in(rest, int(place), way_m, len(fixed), loop)[0], way_m, loop, len(fixed))
                if walk_length(tried, way_m, loop) <= longest_m:
                    best, value, found = tried, new, True
                    break
            if found:
                break
    return best


def _set(walk: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(walk))
