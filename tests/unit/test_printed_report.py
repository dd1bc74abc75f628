"""A report is printed as it is told, whatever the words in it look like."""

from __future__ import annotations

import pytest

from analytics import printed_report
from analytics.audit import audited
from analytics.audit_report import audit_pdf
from analytics.phrases import LANGUAGES, phrases
from analytics.printed_report import Report
from tests.unit.test_audit import SAMPLE, predicted

SQUARE = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><rect width="10" height="10"/></svg>'


def report(title: str = "Anytown") -> Report:
    made = Report(title, notice="SIMULATED: not what people here said")
    made.text("A paragraph")
    made.text("Beside it", note=True)
    made.heading("Part")
    made.table([("group", "share"), ("women", "49 %")], (1, 0))
    made.draw([(SQUARE, "one"), (SQUARE, "two")])
    return made


def test_the_same_report_is_the_same_bytes():
    printed = report().pdf()
    assert printed.startswith(b"%PDF") and printed == report().pdf()


@pytest.mark.parametrize(
    "odd", ["#[1+1] $x$ *b* _i_ `c` <l> @r \\ //", '#read("/etc/hostname")', "\u202e\u0000", "🌃" * 300]
)
def test_what_looks_like_a_program_is_printed_as_text(odd):
    made = report(odd)
    made.table([(odd, odd)], (1, 1))
    assert made.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_audit_prints_every_row_and_says_that_it_is_simulated(language, monkeypatch):
    seen = {}
    monkeypatch.setattr(printed_report, "pdf", lambda template, content, pictures: seen.update(content) or b"%PDF")
    say = phrases(language)
    audit = audited(predicted(150, wrong_for_women=0.8), {("role", "worker"): 0.1}, "Town & Co", sample=SAMPLE)
    audit_pdf(audit, say)
    tables = [part["rows"] for part in seen["parts"] if part["kind"] == "table"]
    assert len(tables[0]) == len(audit.rows) + 1
    assert seen["notice"] == say("word.simulated") and seen["language"] == language
    assert {len(row) for row in tables[0]} == {7}
