"""What is refused is kept, and nobody can fill the disk or the memory with it."""

from __future__ import annotations

from ingest import refusals as module
from ingest.log import Message
from ingest.refusals import OTHERS, Refusals, Tally


def letter(refusals: Refusals, payload: bytes, now_s: float = 0.0) -> Message | None:
    return refusals.letter("t", payload, 1, ["device 'x' sent 7 of it"], now_s)


def test_the_first_of_a_flood_are_kept_and_the_rest_is_a_number():
    tally = Tally(kept=5, period_s=60.0)
    assert [tally.keep("a", "t", 10, 0.0) for _ in range(100)] == [True] * 5 + [False] * 95
    assert tally.due(59.0) == []
    assert tally.due(60.0) == [("a", "t", 95, 1000)]
    assert tally.due(61.0) == []
    assert tally.keep("a", "t", 10, 61.0)


def test_who_sent_no_more_than_is_kept_needs_no_number():
    tally = Tally(kept=1, period_s=3600.0)
    assert tally.keep("a", "t", 10, 0.0)
    assert tally.due(0.0, all_of_them=True) == []


def test_made_up_names_share_one_count(monkeypatch):
    monkeypatch.setattr(module, "IDENTITIES", 10)
    tally = Tally(kept=1, period_s=60.0)
    kept = [tally.keep(f"ghost-{number}", "t", 1, 0.0) for number in range(1000)]
    assert sum(kept) == 11
    assert tally.due(60.0) == [(OTHERS, "t", 989, 990)]


def test_a_letter_that_was_not_acknowledged_is_kept_once():
    refusals = Refusals()
    first = letter(refusals, b"{broken")
    assert first is not None
    refusals.expect([first])
    refusals.connected(10.0)
    assert letter(refusals, b"{broken", 11.0) is None
    assert letter(refusals, b"{broken", 12.0) is not None  # the device says it a second time
    assert refusals.refused == 2


def test_the_same_bytes_an_hour_later_are_a_new_message():
    refusals = Refusals()
    refusals.expect([Message("t", b"{broken", 0, "device 'x' sent 7 of it")])
    refusals.connected(10.0)
    assert letter(refusals, b"{broken", 3600.0) is not None


def test_reasons_are_counted_by_kind():
    refusals = Refusals()
    for number in range(300):
        refusals.count([f"device 'ghost-{number}' sent {number} bytes"])
    assert refusals.reasons == {"device '…' sent # bytes": 300}
    refusals.count(["device 'x' is not in the site register; add it with 'noctule site add'"])
    assert "device '…' is not in the site register; add it with 'noctule site add'" in refusals.reasons
    for number in range(299):
        refusals.count(["x" * number])
    assert len(refusals.reasons) <= module.REASONS_KEPT
    assert refusals.refused == 600
