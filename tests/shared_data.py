"""Real, openly licensed data that is not part of the repository: present in CI, skipped with a reason elsewhere."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"


def shared_data(name: str) -> Path:
    """A file or folder of the shared data; skips the test where it is absent."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"needs the open data '{name}' beside the repository (shared/data), which is not here")
    return path
