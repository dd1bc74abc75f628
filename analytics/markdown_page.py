"""Markdown as an HTML page that needs nothing else.

Of Markdown: headings, paragraphs, lists with - or * or numbers, tables, quotes, **strong**, *emphasis*, `code` and
links to https and mailto. Everything else is shown as it stands, and HTML in it is shown as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

_STYLE = (
    "body{font:16px/1.55 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#1b1b1f}"
    "table{border-collapse:collapse;margin:.5rem 0 1.5rem}th,td{padding:.25rem .75rem;text-align:left;"
    "border-bottom:1px solid #ccc;vertical-align:top}code{background:#f0f0f3;padding:0 .2rem}"
    "mark{background:#fff2c4}.wide{overflow-x:auto}h2{margin-top:2rem}blockquote{border-left:3px solid #888;"
    "margin-left:0;padding-left:1rem}@media print{body{margin:0;max-width:none}h2{break-after:avoid}}"
)
_ITEM = re.compile(r"(?:[-*]|\d+[.)]) +(.*)")
_RULE = re.compile(r"\|?[ :|-]*-[ :|-]*")
_INLINE = re.compile(
    r"`([^`]+)`|\*\*(.+?)\*\*|(?<![\w*])\*([^\s*][^*]*)\*(?!\w)|\[([^\]]+)\]\(((?:https|mailto):[^\s)]+)\)"
    r"|(\[[^\]]{4,}\])"
)


def markdown_page(text: str, title: str, language: str, simulated: bool = False) -> str:
    """A whole page; `simulated` puts a border around what is not of real people."""
    frame = "body{outline:6px double #8a5a00;outline-offset:1rem}" if simulated else ""
    return (
        f'<!doctype html><html lang={language}><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{_STYLE}{frame}</style><main>{markdown_html(text)}</main></html>\n"
    )


def markdown_html(text: str) -> str:
    """The body of a page.

    >>> markdown_html("A *b* `c`")
    '<p>A <em>b</em> <code>c</code></p>'
    """
    return "".join(_part(lines) for lines in _parts(text))


def _parts(text: str) -> Iterator[list[str]]:
    """Runs of lines that belong together: of a paragraph, a list, a table, a quote, or one heading."""
    run: list[str] = []
    for line in [*text.replace("\r\n", "\n").split("\n"), ""]:
        bare = line.strip()
        if run and (not bare or (_kind(bare) != _kind(run[0]) and not _goes_on(run, line))):
            yield run
            run = []
        if bare:
            run.append(line.strip() if not _goes_on(run, line) else line)
            if _kind(bare) == "heading":
                yield run
                run = []


def _goes_on(run: list[str], line: str) -> bool:
    """Whether a line goes on with the list item before it: it is set in."""
    return bool(run) and _kind(run[0]) == "item" and line.startswith("  ") and _kind(line.strip()) == "text"


def _kind(line: str) -> str:
    if re.match(r"#{1,6} ", line):
        return "heading"
    if line.startswith("|"):
        return "table"
    if line.startswith("> "):
        return "quote"
    return "item" if _ITEM.match(line) else "text"


def _part(lines: list[str]) -> str:
    kind = _kind(lines[0].strip())
    if kind == "heading":
        level = len(lines[0]) - len(lines[0].lstrip("#"))
        return f"<h{level}>{_inline(lines[0][level:].strip())}</h{level}>"
    if kind == "table":
        return _table(lines)
    if kind == "quote":
        return f"<blockquote><p>{_inline(' '.join(line.removeprefix('> ') for line in lines))}</p></blockquote>"
    if kind == "item":
        items: list[str] = []
        for line in lines:
            found = _ITEM.match(line.strip())
            if found:
                items.append(found[1])
            else:
                items[-1] += f" {line.strip()}"
        tag = "ol" if lines[0][0].isdigit() else "ul"
        return f"<{tag}>{''.join(f'<li>{_inline(item)}</li>' for item in items)}</{tag}>"
    return f"<p>{_inline(' '.join(lines))}</p>"


def _table(lines: list[str]) -> str:
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    headed = len(lines) > 1 and _RULE.fullmatch(lines[1].strip())
    head = "".join(f"<th scope=col>{_inline(cell)}</th>" for cell in rows[0]) if headed else ""
    body = "".join(
        f"<tr>{''.join(f'<td>{_inline(cell)}</td>' for cell in row)}</tr>" for row in rows[2 if headed else 0 :]
    )
    top = f"<thead><tr>{head}</tr></thead>" if headed else ""
    return f"<div class=wide tabindex=0><table>{top}<tbody>{body}</tbody></table></div>"


def _inline(text: str) -> str:
    out, at = [], 0
    for found in _INLINE.finditer(text):
        out.append(escape(text[at : found.start()]))
        code, strong, emphasis, link, address, open_ = found.groups()
        if code is not None:
            out.append(f"<code>{escape(code)}</code>")
        elif strong is not None:
            out.append(f"<strong>{_inline(strong)}</strong>")
        elif emphasis is not None:
            out.append(f"<em>{_inline(emphasis)}</em>")
        elif link is not None:
            out.append(f'<a href="{escape(address)}">{_inline(link)}</a>')
        else:
            inner = f"[{_inline(open_[1:-1])}]"
            out.append(f"<mark>{inner}</mark>" if ":" in open_ else inner)
        at = found.end()
    out.append(escape(text[at:]))
    return "".join(out)
