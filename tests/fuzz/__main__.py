"""Fuzzes every decoder with atheris for some seconds each, and says what fell over: `make fuzz`.

A target fails when it raises anything but a refusal, takes more than a second for one input, or allocates more than
200 MB. What made it fail is written to the folder that is named, as the input of a test to come.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MISSING = "fuzzing needs atheris, which the lock leaves out; 'make fuzz' installs it beside the environment, into {}"
LONGEST = 4096  # bytes of an input; what grows with length is measured by tests/unit/test_dialect_fuzz.py
LIMITS = ("-timeout=1", "-malloc_limit_mb=200", "-rss_limit_mb=1000", f"-max_len={LONGEST}", "-print_final_stats=1")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="targets; all when none is named")
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    parser.add_argument("--failures", type=Path, default=Path(".cache/fuzz"), help="where failing inputs are kept")
    parser.add_argument("--target", help=argparse.SUPPRESS)  # what a process of its own fuzzes
    arguments, libfuzzer = parser.parse_known_args()
    if arguments.target:
        return fuzz(arguments.target, libfuzzer)
    try:
        import atheris  # noqa: F401
    except ImportError:
        print(MISSING.format(".venv/fuzz"))
        return 1
    from tests.fuzz.targets import seeds, targets

    known = targets()
    if unknown := set(arguments.names) - known.keys():
        print(f"no target {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        return 2
    arguments.failures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds()):
            (Path(corpus) / f"seed-{number}").write_bytes(seed)
        failed = [
            name
            for name in arguments.names or known
            if not survives(name, arguments.seconds, Path(corpus), arguments.failures)
        ]
    print(f"{len(arguments.names or known) - len(failed)} of {len(arguments.names or known)} targets held")
    return 1 if failed else 0


def survives(name: str, seconds: int, corpus: Path, failures: Path) -> bool:
    """Whether a target outlives its seconds, in a process of its own since atheris ends it."""
    start = time.monotonic()
    prefix = f"-artifact_prefix={failures}/{name.replace(' ', '-')}-"
    command = [sys.executable, "-m", "tests.fuzz", "--target", name, f"-max_total_time={seconds}", prefix, *LIMITS]
    with tempfile.TemporaryDirectory() as grown:
        try:
            done = subprocess.run(
                [*command, grown, str(corpus)], capture_output=True, text=True, timeout=seconds + 60, check=False
            )
        except subprocess.TimeoutExpired:
            print(f"{name}: FAILED, did not end a minute after its {seconds} s")
            return False
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    verdict = "held" if done.returncode == 0 else f"FAILED ({done.returncode})"
    print(f"{name}: {verdict}, {runs[1] if runs else '?'} inputs in {time.monotonic() - start:.0f} s", flush=True)
    if done.returncode:
        print(done.stdout[-2000:] + done.stderr[-4000:], flush=True)
    return done.returncode == 0


def fuzz(name: str, libfuzzer: list[str]) -> int:
    import atheris

    with atheris.instrument_imports(include=["sensors"]):
        from tests.fuzz.targets import targets
    atheris.Setup([sys.argv[0], *libfuzzer], targets()[name])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
