"""One writer a shelf, and the lock dies with its holder."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from ingest.lock import shelf_lock
from sensors.errors import ShelfLocked

HOLDER = """
import sys, time
from pathlib import Path
from ingest.lock import shelf_lock
with shelf_lock(Path(sys.argv[1]), "noctule ingest town"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_refused_with_the_first_ones_number_until_it_dies(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ShelfLocked, match=f"noctule ingest town.*process {holder.pid}"), shelf_lock(tmp_path, "me"):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with shelf_lock(tmp_path, "me", wait_s=1.0):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()} me\n"


def test_it_is_free_again_after_the_with(tmp_path):
    for _ in range(2):
        with shelf_lock(tmp_path, "me"):
            pass


def test_waiting_ends_with_a_refusal(tmp_path):
    with shelf_lock(tmp_path, "first"):
        began = time.monotonic()
        with pytest.raises(ShelfLocked, match="first"), shelf_lock(tmp_path, "second", wait_s=0.1):
            pass
        assert time.monotonic() - began >= 0.1
