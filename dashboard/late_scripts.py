"""Scripts that a page fetches only when it needs them, so that Live stays small: `/late/DIGEST/NAME.js`.

Each registers its components in `window.noctule.late`; `late` in `assets/parts.js` fetches it when one is first
shown.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

_FOLDER = Path(__file__).parent / "late"
_ADDRESS = re.compile(r"/late/(?P<digest>[0-9a-f]{12})/(?P<name>[a-z-]{1,40}\.(?:js|css))", re.ASCII)
_MEDIA = {"js": b"text/javascript; charset=utf-8", "css": b"text/css; charset=utf-8"}


class LateScripts:
    """All of them, compressed once, under one digest of what they hold."""

    def __init__(self) -> None:
        files = sorted(path for path in _FOLDER.iterdir() if path.suffix in (".js", ".css"))
        held = {path.name: path.read_bytes() for path in files}
        self.digest = hashlib.sha256(b"".join(name.encode() + body for name, body in held.items())).hexdigest()[:12]
        self._bodies = {name: gzip.compress(body, 9, mtime=0) for name, body in held.items()}

    def body(self, path: str) -> tuple[bytes, bytes] | None:
        """Media type and gzipped body of an address; None where it names nothing."""
        match = _ADDRESS.fullmatch(path)
        if match is None or match["digest"] != self.digest or match["name"] not in self._bodies:
            return None
        return _MEDIA[match["name"].rpartition(".")[2]], self._bodies[match["name"]]
