"""Which readings to trust: reason bits from a reading and those that came before it.

Three kinds of rule, in this order: what a reading says about itself (`limits`), what the values of one message say
about each other (`messages`), what a series says about its next reading (`series`). Only physics fails a reading: an
impossible value, an impossible time, values of one message that contradict each other. All else is *suspect* and stays
in.

Flags are a function of a reading and the earlier ones of its series: the same whether a series arrives at once,
message by message or in any chunks, and after a restart through `state`, or `learn` from readings that are already
flagged. What arrives after a later reading of its series is judged by itself and its message alone, and leaves no mark
on the series: what it would have said is for `reflag` to see, which has the whole night in order before it.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec
import numpy as np

from ingest import messages, series
from ingest.limits import Flags, SiteFacts, own_flags
from ingest.messages import Messages
from ingest.series import SERIES, Batch, Series
from sensors.flags import FAIL
from sensors.reading import Records

STATE_VERSION = 2
_SLICE = 65_536  # readings judged together: beyond it nothing is gained but memory lost


class _State(msgspec.Struct, frozen=True):
    version: int
    series: series.Kept
    messages: messages.Kept


class Screen:
    """Flags readings in the order in which they come; remembers a row of numbers for each site.

    facts : what the register knows of the sites; without it nothing is compared with a lamp's rated power
    """

    def __init__(self, facts: SiteFacts | None = None) -> None:
        self.facts = facts
        self._series = Series()
        self._messages = Messages()

    def flags(self, records: Records) -> Flags:
        """Reason bits (u2, one a record) of the next records, in order; their own `flags` are not read.

        Whole messages: a message's values are compared with each other, so it must not be split between two calls.
        """
        flags = np.empty(len(records), np.uint16)
        begin = 0
        while begin < len(records):
            end = _slice_end(records, begin)
            flags[begin:end] = self._slice(records[begin:end])
            begin = end
        return flags

    def learn(self, records: Records) -> None:
        """Take in records that were flagged before."""
        self.flags(records)

    def state(self) -> bytes:
        """Everything that later flags depend on: 120 bytes a site with rules, 840 more for a counter."""
        return msgspec.msgpack.encode(_State(STATE_VERSION, self._series.kept(), self._messages.kept()))

    @classmethod
    def from_state(cls, state: bytes, facts: SiteFacts | None = None) -> Screen:
        """A screen that goes on where `state` was taken; one that knows nothing if `readable(state)` is false."""
        screen = cls(facts)
        decoded = _decoded(state)
        if decoded is not None:
            screen._series = Series.from_kept(decoded.series)
            screen._messages = Messages.from_kept(decoded.messages)
        return screen

    @staticmethod
    def readable(state: bytes) -> bool:
        """Whether this version understands a state; one that it does not must be learnt again."""
        return _decoded(state) is not None

    def _slice(self, records: Records) -> Flags:
        quantity = records["quantity"].astype(np.intp)
        value = records["value"].astype(np.float64)
        time = records["time"].astype(np.int64)
        site = records["site"].astype(np.int64)
        duration_s = records["duration_s"].astype(np.float64)
        delay = records["received"].astype(np.int64) - time
        flags = own_flags(quantity, value, duration_s, delay, site, self.facts)
        self._messages.add_flags(records, quantity, value, flags)
        teaches = np.flatnonzero(SERIES[quantity] & ((flags & np.uint16(int(FAIL))) == 0))
        if len(teaches):
            if len(teaches) < len(records):
                quantity, value, time = quantity[teaches], value[teaches], time[teaches]
                site, duration_s = site[teaches], duration_s[teaches]
            batch = Batch(
                (site << 8) | quantity,
                quantity,
                time,
                np.rint(value * 1000.0).astype(np.int64),
                (duration_s * 1000.0).astype(np.int64),
            )
            flags[teaches] |= self._series.flags(batch)
        return flags


def _slice_end(records: Records, begin: int) -> int:
    """Where the next slice ends: where a message does."""
    end = begin + _SLICE
    if end >= len(records):
        return len(records)
    starts = np.flatnonzero(records["part"][end : end + _SLICE] == 0)
    return end + int(starts[0]) if len(starts) else min(len(records), end + _SLICE)


def _decoded(state: bytes) -> _State | None:
    with suppress(msgspec.DecodeError, ValueError):
        decoded = msgspec.msgpack.decode(state, type=_State)
        if decoded.version == STATE_VERSION:
            return decoded
    return None
