"""Histograms of one-second levels on our wire: one record, and as many readings as it has bins that are not empty.

    [{"n": "sound_histogram", "u": "s", "t": 1795208400, "duration_s": 900, "boot": 3, "seq": 812,
      "from_db": 47, "bins": [3, 41, 180, 0, 12]}]

`bins` are the seconds in 47 to below 48 dB, 48 to below 49, and so on; `from_db` is 20 where it is left out. Only
histograms can be merged into percentiles of longer times (L10, L50, L90): percentiles cannot. A message holds one
histogram, since a reading's decibel stands in its `part` and (device, boot, seq, part) must be unlike any other; for
the same reason the message must be numbered.
"""

from __future__ import annotations

from typing import Any

import cbor2
import msgspec

from sensors.quantities import HISTOGRAM, HISTOGRAM_BINS, HISTOGRAM_FROM_DB


def bins_of(extra: dict[str, Any], duration_s: float) -> list[tuple[int, int]] | str:
    """The bins that are not empty, as (decibel, seconds), or what is wrong with the record.

    >>> bins_of({"from_db": 47, "bins": [3, 0, 41]}, 60.0)
    [(47, 3), (49, 41)]
    """
    bins, first = extra.get("bins"), extra.get("from_db", HISTOGRAM_FROM_DB)
    if not isinstance(bins, list) or not bins:
        return f"{HISTOGRAM} needs 'bins', an array of the seconds in each decibel"
    if isinstance(first, bool) or not isinstance(first, int):
        return "'from_db' must be a whole number of decibels"
    if not first >= HISTOGRAM_FROM_DB or first + len(bins) > HISTOGRAM_FROM_DB + HISTOGRAM_BINS:
        return (
            f"bins from {first} to {first + len(bins)} dB; expected some within {HISTOGRAM_FROM_DB} to "
            f"{HISTOGRAM_FROM_DB + HISTOGRAM_BINS}, what lies beyond in the first and the last"
        )
    if any(isinstance(count, bool) or not isinstance(count, int) or count < 0 for count in bins):
        return "'bins' must be whole numbers of seconds"
    total = sum(bins)
    if duration_s <= 0 or total > duration_s + 1:
        return f"{total} seconds in the bins of an interval of {duration_s:g} s ('duration_s')"
    return [(first + place, count) for place, count in enumerate(bins) if count]


def encode_histogram(
    bins: list[int], from_db: int, time_ms: int, duration_s: float, boot: int, seq: int, *, cbor: bool = False
) -> bytes:
    """What a meter publishes under sound-histogram: seconds in each decibel from `from_db` up."""
    record: dict[str | int, Any] = {
        "n": HISTOGRAM, "u": "s", "t": time_ms / 1000, "duration_s": duration_s, "boot": boot, "seq": seq,
        "from_db": from_db, "bins": bins,
    }  # fmt: skip
    if not cbor:
        return msgspec.json.encode([record])
    labels: dict[str | int, int] = {"n": 0, "u": 1, "t": 6}
    return bytes(cbor2.dumps([{labels.get(name, name): value for name, value in record.items()}]))
