"""Model card, data sheet and impact assessment of a city: Markdown that the city may edit, and the same as HTML.

After Mitchell et al. 2019 (Model Cards for Model Reporting), Gebru et al. 2021 (Datasheets for Datasets) and Article
35(7) of Regulation (EU) 2016/679. A paper is made of blocks between two marks

    <!-- noctule: NAME HASH -->
    ...
    <!-- noctule: end -->

and of the city's own text around them. When a paper is written again, a block whose text still has its HASH is written
anew, one that somebody changed is kept and told, one that somebody took out stays out and is told, and the city's own
text is never touched. `[to be filled in: ...]` marks what only the city knows; the last block lists what is left of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from analytics.markdown_page import markdown_page
from analytics.paper_facts import paper_facts
from analytics.phrases import LANGUAGES, Phrases, paper_template, phrases
from sensors.city import City
from sensors.errors import ExportError

PAPERS = ("model-card", "data-sheet", "dpia")
_TO_FILL = "to-fill"
_END = "<!-- noctule: end -->"
_MARK = re.compile(r"<!-- noctule: ([a-z-]+)(?: ([0-9a-f]{12}))? -->")
_VALUE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Written:
    """What became of one paper: its files, which blocks the city keeps as its own, and how much is left to fill in."""

    paper: str
    language: str
    markdown: str
    html: str
    edited: list[str] = field(default_factory=list)  # blocks that the city changed: kept as they are
    removed: list[str] = field(default_factory=list)  # blocks that the city took out: left out
    broken: str = ""  # why the file could not be written anew, and was left as it is
    to_fill: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it with --json."""
        return asdict(self)

    def text(self) -> str:
        """For people: what was written and what was kept."""
        lines = [f"{self.markdown} and .html: {self.to_fill} to be filled in"]
        if self.broken:
            lines.append(f"  left as it is: {self.broken}; mend the marks, or use --anew to lose what was edited")
        if self.edited:
            lines.append(f"  kept as the city edited it: {', '.join(self.edited)}; --anew replaces it")
        if self.removed:
            lines.append(f"  left out, as the city took it out: {', '.join(self.removed)}; --anew brings it back")
        return "\n".join(lines)


def write_papers(
    city: City, folder: Path, languages: Sequence[str] | None = None, *, anew: bool = False
) -> list[Written]:
    """Write the papers of a city into a folder, as NAME.LANGUAGE.md and .html.

    languages : of LANGUAGES, all without; anew : replace also what the city edited
    """
    chosen = [phrases(language) for language in languages or LANGUAGES]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(
            f"{folder} cannot be made a folder for papers ({error}); choose another with --out"
        ) from error
    written = []
    for say in chosen:
        facts = paper_facts(city, say)
        for name in PAPERS:
            path = folder / f"{name}.{say.language}.md"
            fresh = filled(paper_template(name, say.language), facts, say)
            before = _read(path) if path.exists() and not anew else None
            text, edited, removed, broken = fresh, list[str](), list[str](), ""
            if before is not None:
                try:
                    text, edited, removed = merged(before, fresh)
                except ValueError as error:
                    text, broken = before, str(error)
            if not broken:
                text, edited = _with_list(text, edited, say)
            left = to_fill(text, say)
            title = f"{say(f'paper.{name}')}: {city.name}"
            _write(path, text)
            page = markdown_page(_without_marks(text), title, say.language, city.simulated)
            _write(path.with_suffix(".html"), page)
            written.append(
                Written(
                    name, say.language, str(path), str(path.with_suffix(".html")), edited, removed, broken, len(left)
                )
            )
    return written


def paper_now(city: City, name: str, language: str) -> str:
    """One of PAPERS as it would be written today, as Markdown without marks, around what the city made its own in
    `papers/`; nothing is written.
    """
    say = phrases(language)
    # How a file is written anew is told in files, not on a page that is read.
    facts = paper_facts(city, say) | {"generated": ""}
    text = filled(paper_template(name, language), facts, say)
    own = city.path / "papers" / f"{name}.{language}.md"
    edited: list[str] = []
    if own.is_file():
        # Marks that do not pair are what `noctule papers` says; the facts are true without the city's text.
        with contextlib.suppress(ValueError):
            text, edited, _ = merged(_read(own), text)
    return _without_marks(_with_list(text, edited, say)[0])


def filled(template: str, facts: Mapping[str, str], say: Phrases) -> str:
    """A template with its values put in and each block marked with the hash of its text."""
    text = _VALUE.sub(lambda found: found[0] if found[1] == "to_fill" else facts[found[1]], say.typeset(template))
    return "".join(
        part if name is None else _block(name, part) for name, _, part in _pieces(text.replace("<!--\u00a0", "<!-- "))
    )


def merged(before: str, fresh: str) -> tuple[str, list[str], list[str]]:
    """What the city has, with the blocks that it left alone written anew; which it edited, and which it took out.

    ValueError where its marks do not pair.
    """
    new = {name: part for name, _, part in _pieces(fresh) if name is not None}
    out, edited, seen = [], [], set()
    for name, kept_hash, part in _pieces(before):
        if name is None:
            out.append(part)
            continue
        seen.add(name)
        if kept_hash != _hash(part):
            edited.append(name)
            out.append(f"<!-- noctule: {name}{f' {kept_hash}' if kept_hash else ''} -->{part}{_END}")
        elif name in new:
            out.append(_block(name, new[name]))
    return "".join(out), edited, [name for name in new if name not in seen]


def to_fill(text: str, say: Phrases) -> list[str]:
    """What is still marked as to be filled in, outside the list of it."""
    outside = "".join(part for name, _, part in _pieces_or_all(text) if name != _TO_FILL)
    mark = re.escape(say("word.to_fill"))
    found = (item.strip() for item in re.findall(rf"\[{mark}\s*:\s*([^\]]+)\]", outside))
    return list(dict.fromkeys(found))


def _with_list(text: str, edited: list[str], say: Phrases) -> tuple[str, list[str]]:
    """The text with its last block listing what is left to fill in, unless the city made it its own."""
    left = to_fill(text, say)
    lines = [f"## {say('papers.to_fill_title')}", ""]
    lines += [say("papers.to_fill_lead"), "", *(f"* {item}" for item in left)] if left else [say("papers.to_fill_none")]
    body = "\n" + "\n".join(lines) + "\n"
    out = []
    for name, kept_hash, part in _pieces(text):
        if name is None:
            out.append(part)
        elif name == _TO_FILL and name not in edited:
            out.append(_block(name, body))
        else:
            out.append(f"<!-- noctule: {name}{f' {kept_hash}' if kept_hash else ''} -->{part}{_END}")
    return "".join(out), edited


def _pieces(text: str) -> list[tuple[str | None, str, str]]:
    """(block, hash, text) one after the other; the block is None for the city's own text."""
    pieces: list[tuple[str | None, str, str]] = []
    name, kept_hash, start = None, "", 0
    for found in _MARK.finditer(text):
        opens = found[1] != "end"
        if opens != (name is None):
            line = text.count("\n", 0, found.start()) + 1
            raise ValueError(f"the mark '{found[0]}' in line {line} has no partner")
        pieces.append((name, kept_hash, text[start : found.start()]))
        name, kept_hash = (found[1], found[2] or "") if opens else (None, "")
        start = found.end()
    if name is not None:
        raise ValueError(f"the block '{name}' has no end")
    pieces.append((None, "", text[start:]))
    return [piece for piece in pieces if piece[0] is not None or piece[2]]


def _pieces_or_all(text: str) -> list[tuple[str | None, str, str]]:
    try:
        return _pieces(text)
    except ValueError:
        return [(None, "", text)]


def _block(name: str, body: str) -> str:
    return f"<!-- noctule: {name} {_hash(body)} -->{body}{_END}"


def _hash(body: str) -> str:
    # An editor may change line ends and spaces at their ends; that is not what the city meant to say.
    plain = "\n".join(line.rstrip() for line in body.replace("\r\n", "\n").split("\n"))
    return hashlib.sha256(plain.encode()).hexdigest()[:12]


def _without_marks(text: str) -> str:
    return _MARK.sub("", text)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"{path} cannot be read as text ({error}); save it as UTF-8, or move it away") from error


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f"{path.name}.new")
    try:
        beside.write_text(text, "utf-8")
        beside.replace(path)
    except OSError as error:
        raise ExportError(f"{path} cannot be written ({error}); choose another folder with --out") from error
