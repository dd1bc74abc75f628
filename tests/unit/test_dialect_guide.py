"""The guide in docs/dialects.md holds: its code is a dialect, and the tables name all there are."""

import re

import pytest

from sensors.dialects import DIALECTS, decode
from sensors.wire import Measurement, Rejection
from tests.shared_data import ROOT

TEXT = (ROOT / "docs" / "dialects.md").read_text("utf-8")
NOW = 1_790_000_000_000


@pytest.fixture(scope="module")
def tasmota():
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 30
    names = {}
    exec(compile(code, "docs/dialects.md", "exec"), names)  # the guide's own code, in this repository
    return names["TASMOTA"]


def read(tasmota, payload, topic="tele/Lux_4/SENSOR"):
    return decode(topic, payload, NOW, dialects=(*DIALECTS, tasmota))


def test_the_guides_dialect_reads_its_example(tasmota):
    (example,) = re.findall(r'`(\{"Time".*?\}\})`', TEXT)
    (one,) = read(tasmota, example.encode())
    assert (one.device, one.quantity, one.value, one.unit, one.time_ms) == (
        "lux-4",
        "illuminance",
        95.0,
        "lx",
        1_795_208_400_000,
    )
    assert read(tasmota, example.encode(), "home/lux-9")[0].device == "lux-9"


def test_it_refuses_what_it_should(tasmota):
    assert "no zone" in read(tasmota, b'{"Time":"2026-11-20T22:00:00","BH1750":{"Illuminance":95}}')[0].reason
    mixed = b'{"Time":"2026-11-20T22:00:00Z","A":{"Illuminance":"x"},"B":{"Illuminance":4}}'
    assert [type(one) for one in read(tasmota, mixed)] == [Rejection, Measurement]
    for payload in (b"[]", b"{}", b"", b'{"Time":1}'):
        assert isinstance(read(tasmota, payload)[0], Rejection)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_every_dialect_stands_in_the_table(dialect):
    assert f"| `{dialect.name}` |" in TEXT
