"""What pages call the views of groups and the reasons for hatching, and the colours that both screen and paper have.

Names only, so that whoever shows a page needs neither a model nor its kernels: the dashboard starts a second sooner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sensors.answer import CODES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

OF = "safety_of_"  # what a layer of one view of people begins with
GAP = "gap_"  # of a group less those it is compared with
REST = "not_"  # those it is compared with
RESIDENTS = "residents"
SHOWN = 0
HATCHED = {"too_few_people": 1, "too_little_evidence": 2, "answers_too_old": 3, "unlike_any_answer": 4}
# From feeling less safe to feeling safer; no red, and lightness rises, so that a copy in grey keeps the order.
SAFETY_RAMP = ("#7b5ea7", "#6f78bd", "#5a93c4", "#4dacbf", "#57c3ae", "#86d49a", "#c3e08d", "#f7ea9a")


@dataclass(frozen=True, slots=True)
class Group:
    """A group by one column of answers, and the codes that it is compared with."""

    name: str
    column: str
    codes: tuple[str, ...]
    rest: tuple[str, ...]

    def among(self, answers: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Which answers are of this group, (n,)."""
        return answers[self.column].isin(self.codes).to_numpy()

    def beside(self, answers: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Which answers are of those it is compared with, (n,)."""
        return answers[self.column].isin(self.rest).to_numpy()


def _of(name: str, column: str, *codes: str) -> Group:
    told = [code for code in CODES[column] if code != "undisclosed"]
    return Group(name, column, codes, tuple(code for code in told if code not in codes))


GROUPS: tuple[Group, ...] = (
    Group("women", "gender", ("woman",), ("man",)),
    Group("men", "gender", ("man",), ("woman",)),
    _of("young", "age_band", "16-24"),
    _of("older", "age_band", "65+"),
    _of("disabled", "disability", "yes"),
    _of("alone", "alone", "alone"),
)
GROUP: dict[str, Group] = {group.name: group for group in GROUPS}
# Men against women is women against men once more.
GAPS: tuple[str, ...] = tuple(group.name for group in GROUPS if group.name != "men")
