"""The one command: composes the rooms' commands and supervises their processes.

Only this file reads NOCTULE_* from the environment; secrets come from there or from `secrets.toml` (mode 0600) beside
`city.toml`, never from settings.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

# Thread counts are set by us and before any numeric library is loaded: BLAS on one thread keeps closed pages bit-equal,
# and our own kernels use both cores (DESIGN 6).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", str(min(2, os.cpu_count() or 1)))
os.environ.setdefault(
    "NUMBA_CACHE_DIR",
    str(Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "noctule" / "kernels"),
)

import typer

from sensors.errors import NoctuleError

ROOMS = ("sensors", "ingest", "analytics", "dashboard", "firmware_sim")

app = typer.Typer(
    help="Senses a city's night and maps how safe people feel, with honest uncertainty.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for room in ROOMS:
    import_module(f"{room}.commands").register(app)


def main() -> None:
    """Run a command: 0 ok, 1 refused with a reason, 2 wrong usage."""
    try:
        app()
    except NoctuleError as refusal:
        print(f"noctule: {refusal}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
