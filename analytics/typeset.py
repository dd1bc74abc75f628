"""Sets what is printed: a template and its content become a PDF, or a picture of each page; only here typst is known.

Content reaches a template as JSON and as pictures and never as its source, so whatever a city calls its streets stays
text. Only the fonts that come with typst are used and no time is written: the same content gives the same bytes.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar

from sensors.errors import ExportError

Made = TypeVar("Made", bytes, list[bytes])

_PICTURE = re.compile(r"[a-z0-9-]+\.svg")
_PPI = 110.0


def pdf(
    template: str,
    content: Mapping[str, Any],
    pictures: Mapping[str, str] | None = None,
    *,
    accessible: bool = False,
) -> bytes:
    """A PDF of a template in `analytics/texts`, its content, and its pictures, name.svg to SVG.

    accessible : whether it must keep PDF/UA-1, which who reads with a screen reader needs
    """
    import typst

    standard: Literal["ua-1"] | None = "ua-1" if accessible else None

    def compiled(main: str, root: str) -> bytes:
        return bytes(typst.compile(main, root=root, ignore_system_fonts=True, format="pdf", pdf_standards=standard))

    return _set(template, content, pictures or {}, compiled)


def page_pictures(
    template: str, content: Mapping[str, Any], pictures: Mapping[str, str] | None = None, ppi: float = _PPI
) -> list[bytes]:
    """The same as a PNG of each page."""
    import typst

    def compiled(main: str, root: str) -> list[bytes]:
        made: Any = typst.compile(main, root=root, ignore_system_fonts=True, format="png", ppi=ppi)
        return [made] if isinstance(made, bytes) else list(made)

    return _set(template, content, pictures or {}, compiled)


def _set(
    template: str, content: Mapping[str, Any], pictures: Mapping[str, str], compiled: Callable[[str, str], Made]
) -> Made:
    """What `compiled` makes of a folder that holds the template, its content and its pictures, and nothing else."""
    import typst

    source = files("analytics").joinpath("texts", f"{template}.typ").read_text("utf-8")
    with tempfile.TemporaryDirectory(prefix="noctule-print-") as folder:
        root = Path(folder)
        (root / "main.typ").write_text(source, "utf-8")
        (root / "content.json").write_text(json.dumps(content, ensure_ascii=False), "utf-8")
        for name, picture in pictures.items():
            assert _PICTURE.fullmatch(name), name
            (root / name).write_text(picture, "utf-8")
        try:
            return compiled(str(root / "main.typ"), str(root))
        except typst.TypstError as error:
            raise ExportError(f"{template} cannot be printed ({error})") from error
