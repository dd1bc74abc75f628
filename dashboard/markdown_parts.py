"""A paper's Markdown as parts of a page: what the HTML of it holds, and nothing that is not on this list."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from dash import html

from analytics.markdown_page import markdown_html
from dashboard.components import aria

_TAGS: dict[str, Any] = {
    "h1": html.H2, "h2": html.H2, "h3": html.H3, "h4": html.H4, "p": html.P, "ul": html.Ul, "ol": html.Ol,
    "li": html.Li, "table": html.Table, "thead": html.Thead, "tbody": html.Tbody, "tr": html.Tr, "th": html.Th,
    "td": html.Td, "blockquote": html.Blockquote, "strong": html.Strong, "em": html.Em, "code": html.Code,
    "mark": html.Mark, "a": html.A, "div": html.Div,
}  # fmt: skip


def markdown_parts(text: str, table: str) -> list[Any]:
    """The parts, without the first heading, which is the page's own.

    table : what a reader is told of a table that scrolls by itself
    """
    reader = _Reader(table)
    reader.feed(markdown_html(text))
    reader.close()
    return [part for number, part in enumerate(reader.parts) if number or not isinstance(part, html.H2)]


class _Reader(HTMLParser):
    """Builds components from the HTML that `markdown_html` writes, which escapes all that a city wrote."""

    def __init__(self, table: str) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[Any] = []
        self._open: list[tuple[str, dict[str, Any], list[Any]]] = []
        self._table, self._tables = table, 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A part begins."""
        given = dict(attrs)
        more: dict[str, Any] = {}
        if tag == "a":
            address = given.get("href") or ""
            more = {"href": address} if address.startswith(("https://", "mailto:")) else {}
        elif tag == "div":
            self._tables += 1
            more = {"className": "wide", "tabIndex": 0, "role": "region"}
            more |= aria(label=f"{self._table} {self._tables}")
        elif tag == "th":
            more = {"scope": "col"}
        self._open.append((tag, more, []))

    def handle_endtag(self, tag: str) -> None:
        """A part is whole."""
        if not self._open or self._open[-1][0] != tag:
            return
        _, more, children = self._open.pop()
        part = _TAGS[tag](children, **more) if tag in _TAGS else "".join(map(str, children))
        (self._open[-1][2] if self._open else self.parts).append(part)

    def handle_data(self, data: str) -> None:
        """Text, which React writes as text."""
        if self._open:
            self._open[-1][2].append(data)
