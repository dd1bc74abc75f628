"""What all measurements share: their options, how they print, and whether each gate was met.

Peers, compiled programs and whatever else a measurement needs stay in one folder (`--peers`, by default
`noctule-benchmarks` in the user's cache), never in the environment of the product.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def arguments(
    text: str | None, more: Callable[[argparse.ArgumentParser], None] | None = None, **numbers: int
) -> argparse.Namespace:
    """The options that all these measurements share, some numbers with their defaults, and what `more` adds."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines to read")
    parser.add_argument("--peers", type=Path, default=_cache(), help="where peers are installed (%(default)s)")
    for name, value in numbers.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value, help="%(default)s")
    if more is not None:
        more(parser)
    return parser.parse_args()


def middle(values: Sequence[float]) -> float:
    """The median; what a noisy neighbour did to one run does not count."""
    return float(np.median(values))


def report(result: dict[str, Any], as_json: bool) -> int:
    """Print; 1 if a gate was not met. `gates` is a list of (what, value, bound, whether it holds)."""
    gates = [
        {"what": what, "value": value, "bound": bound, "met": met} for what, value, bound, met in result.pop("gates")
    ]
    if as_json:
        print(json.dumps(result | {"gates": gates}, indent=1))
    else:
        for name, value in result.items():
            rows = value if isinstance(value, list) else [value]
            for row in rows:
                text = "  ".join(f"{k} {_plain(v)}" for k, v in row.items()) if isinstance(row, dict) else _plain(row)
                print(f"{name}: {text}")
        for gate in gates:
            print(f"{'ok  ' if gate['met'] else 'MISS'} {gate['what']}: {_plain(gate['value'])} (gate {gate['bound']})")
    return 0 if all(gate["met"] for gate in gates) else 1


def at_most(what: str, value: float, bound: float) -> tuple[str, float, str, bool]:
    return what, value, f"<= {bound:g}", value <= bound


def at_least(what: str, value: float, bound: float) -> tuple[str, float, str, bool]:
    return what, value, f">= {bound:g}", value >= bound


def _plain(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "noctule-benchmarks"
