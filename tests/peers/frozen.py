"""What PyMC and nutpie said: sampled anew where they are installed, and as it was frozen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.peers.designs import EDGES, SAFE, Design, Said, design_and_fit
from tests.shared_data import ROOT
from tests.worlds import CUTS

PEERS = ROOT / ".venv" / "peers"
FROZEN = ROOT / "tests" / "unit" / "examples" / "posterior-pymc.json"
MISSING = "PyMC and nutpie are not in .venv/peers; 'make peers' installs them there where a package index answers"


def installed() -> bool:
    return (PEERS / "pymc").is_dir() and (PEERS / "nutpie").is_dir()


@cache
def both(n: int) -> tuple[Design, Said]:
    return design_and_fit(n)


def sampled(n: int) -> dict[str, Any]:
    """Sample the design of n answers in a process that sees the peers' own numpy and numba."""
    design = both(n)[0]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "design.npz"), Path(folder, "said.json")
        np.savez(source, safe=SAFE, edges=EDGES, **asdict(design))
        script = Path(__file__).with_name("pymc_posterior.py")
        environment = {
            **os.environ,
            "PYTHONPATH": str(PEERS),
            "NUMBA_CACHE_DIR": folder,
            "PYTENSOR_FLAGS": f"base_compiledir={folder}",
        }
        subprocess.run([sys.executable, str(script), str(source), str(target)], env=environment, check=True)
        return json.loads(target.read_text("utf-8"))


def frozen(n: int) -> dict[str, Any]:
    """What was frozen of the design of n answers; fails where the design is no longer that one."""
    stored = json.loads(FROZEN.read_text("utf-8"))[str(n)]
    assert stored["design"] == fingerprint(n), "the design has changed: 'make peers' samples it anew"
    return stored


def fingerprint(n: int) -> list[float]:
    """A few sums that change whenever the design does, rounded beyond what processors differ by."""
    design = both(n)[0]
    return [round(float(np.abs(part).sum()), 3) for part in asdict(design).values()]


def as_said(stored: dict[str, Any]) -> Said:
    assert len(stored["mean"]) > len(CUTS)
    return Said(*(np.array(stored[name]) for name in ("mean", "sd", "p_safe", "exceeds")))
