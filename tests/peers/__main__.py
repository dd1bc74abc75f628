"""Samples every design by PyMC and nutpie and freezes what they say for tests that run without them: `make peers`."""

from __future__ import annotations

import argparse
import json

from tests.peers.designs import SIZES
from tests.peers.frozen import FROZEN, fingerprint, sampled


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    found = {}
    for n in SIZES:
        said = sampled(n)
        print(f"{n} answers: {said['how']}", flush=True)
        found[str(n)] = {"design": fingerprint(n)} | said
    FROZEN.write_text(json.dumps(found, separators=(",", ":")).replace("},", "},\n") + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
