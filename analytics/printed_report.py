"""A report as a PDF: text, tables and pictures one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from analytics.typeset import pdf

Part = dict[str, Any]


@dataclass
class Report:
    """What is printed, part by part.

    notice : stands on every page where it is not empty; language : en or fr
    """

    title: str
    language: str = "en"
    notice: str = ""
    parts: list[Part] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)

    def heading(self, text: str) -> None:
        """The beginning of a section."""
        self.parts.append({"kind": "heading", "text": text})

    def text(self, text: str, *, note: bool = False) -> None:
        """A paragraph, or one in a softer colour."""
        self.parts.append({"kind": "note" if note else "text", "text": text})

    def table(self, rows: Sequence[Sequence[str]], widths: Sequence[float], *, left: Sequence[int] = (0,)) -> None:
        """Rows, the heads first.

        widths : shares of what room there is, 0 for as wide as its words; left : columns of words
        """
        self.parts.append({
            "kind": "table", "rows": [list(row) for row in rows], "widths": list(widths), "left": list(left),
        })  # fmt: skip

    def draw(self, pictures: Sequence[tuple[str, str]]) -> None:
        """Pictures side by side, each an SVG and the words below it."""
        names = [f"picture-{len(self.pictures) + number}.svg" for number in range(len(pictures))]
        self.pictures |= {name: picture for name, (picture, _) in zip(names, pictures, strict=True)}
        self.parts.append({"kind": "pictures", "names": names, "captions": [words for _, words in pictures]})

    def pdf(self) -> bytes:
        """The printed pages; the same report gives the same bytes."""
        content = {"title": self.title, "language": self.language, "notice": self.notice, "parts": self.parts}
        return pdf("report", content, self.pictures)
