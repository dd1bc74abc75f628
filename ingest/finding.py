"""What `noctule doctor` has to say: one thing that was looked at, how bad it is, and the line that mends it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is, worst first."""

    LOSES = "loses data"
    RISK = "risk"
    NOTE = "note"
    FINE = "fine"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    subject : one or two words, the same in every run
    sentence : what was found
    mend : what would do, most often a line of the broker's configuration; empty where there is nothing to do
    """

    severity: Severity
    subject: str
    sentence: str
    mend: str = ""

    def to_dict(self) -> dict[str, str]:
        """For JSON."""
        return {name: str(value) for name, value in asdict(self).items()}

    def text(self) -> str:
        """For people: a line, and one more where something can be done."""
        lines = f"{self.severity.value:>10}  {self.subject}: {self.sentence}"
        return lines + (f"\n{'':>12}{self.mend}" if self.mend else "")


def worst_first(findings: list[Finding]) -> list[Finding]:
    """The same findings, worst first, otherwise in the order in which they were made."""
    order = list(Severity)
    return sorted(findings, key=lambda finding: order.index(finding.severity))
