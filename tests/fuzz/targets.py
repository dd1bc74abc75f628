"""What strangers' bytes reach, each as a function that may only refuse them: dialects, frames, doors, quick ways."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cbor2
import msgspec

from ingest.report_files import LONGEST_TEXT, reports_of
from ingest.report_words import speaks_of_somebody
from sensors.columns import encode_columns, read_columns
from sensors.dialects import DECODERS, DIALECTS, decode
from sensors.dialects.frames import read_frame
from sensors.dialects.routing import FAULT
from sensors.dialects.table import Source
from sensors.errors import AnswerError, DecodeError, LuminaireError
from sensors.exposure import cleaned, exposed
from sensors.luminaire_files import luminaire_from
from sensors.wire import Measurement, Rejection, Sample, encode_pack
from tests.photometric_files import eulumdat, lm63

Target = Callable[[bytes], None]

NOW_MS = 1_795_212_000_000
EXAMPLES = Path(__file__).parents[1] / "unit" / "examples"
DATASTREAMS = {"5": "mic-1/sound_laeq", "1": "mic-1/people_flow", "8/0": "mic-1/sound_laeq"}
FRAMES = (
    "017564055B053F02DA016A02",  # Milesight WS302
    "04C9030800A106CD05",  # VS121
    "05CC0200010007D50001000000000003",
    "20CE00E200680205000300",
    "05CC0000000008CC000000000FE302100709",  # VS133
    "0100070003",  # a Paxcounter's counts, behind their port
)


def targets() -> dict[str, Target]:
    """Every target by its name."""
    found: dict[str, Target] = {f"dialect {dialect.name}": _dialect(dialect.name) for dialect in DIALECTS}
    found |= {f"frame {name}": _frame(name) for name in DECODERS}
    found |= {f"photometry{suffix}": _photometry(suffix) for suffix in ("", ".ies", ".ldt")}
    found |= {"app reports": _app_reports}
    return found | {"frame unnamed": _frame(""), "our topics": _our_topic, "any topic": _any_topic, "the door": _door}


def seeds() -> list[bytes]:
    """Payloads from which fuzzing starts: the specifications' examples, and packs of our own wire."""
    samples = [Sample("people_flow", NOW_MS - 900_000 * at, 41.5, 900.0) for at in range(2)]
    series = [("people_flow", [41.5, None])]
    examples = [path.read_bytes() for path in sorted(EXAMPLES.glob("*.json"))]
    levels = [{"value_type": "DNMS_noise_LAeq", "value": "55.3"}, {"value_type": "interval", "value": "145000"}]
    return [
        *examples,
        *(encode_pack(samples, 3, 9, cbor=cbor) for cbor in (False, True)),
        *(encode_columns(series, [NOW_MS, NOW_MS + 900_000], 900.0, 3, 9, cbor=cbor) for cbor in (False, True)),
        b"2026-11-20T22:00:00Z|sound_laeq|55|duration_s|60#people_present|3",
        msgspec.json.encode({"esp8266id": "7", "sensordatavalues": levels}),
        cbor2.dumps({"mac": "00:11:22:33:44:55", "t": [b"\xff\xd8\xff"]}),
        *(bytes.fromhex(frame) for frame in FRAMES),
        b'[{"service_request_id":"1","service_name":"Light","description":"dark","lat":60.1,"long":24.9}]',
        b"<service_requests><request><service_request_id>1</service_request_id><lat>60.1</lat></request></service_requests>",
        b"Report ID,Title,Category,Confirmed,Latitude,Longitude\n1,dark,Light,2026-11-01T20:00:00,60.1,24.9\n",
        lm63([0.0, 45, 90], [0.0, 45, 90], [[9, 8, 1]] * 3, tilt="TILT=INCLUDE\n1\n2\n0 90\n1 0.9").encode(),
        eulumdat([0.0, 90, 180, 270], [0.0, 45, 90], [[200, 150, 100]] * 3, isym=3, lorl=87.7).encode(),
    ]


def _dialect(name: str) -> Target:
    """The dialect's own reader, which may raise nothing but DecodeError; and whether it recognises is never a fault."""
    dialect = next(dialect for dialect in DIALECTS if dialect.name == name)
    source = Source(
        "v1.1/Datastreams(5)/Observations", "mic-1", {"dev1": "mic-2"}, "people_flow", "milesight", DATASTREAMS
    )

    def read(payload: bytes) -> None:
        try:
            outcome = dialect.read(source, payload, NOW_MS)
        except DecodeError as error:
            assert str(error)
        else:
            assert all(isinstance(one, Measurement | Rejection) for one in outcome)

    return read


def _frame(decoder: str) -> Target:
    def read(data: bytes) -> None:
        try:
            assert read_frame(decoder, data[1:], data[0] if data else 0, {"wifi": 7, "ble": 3})
        except DecodeError as error:
            assert str(error)

    return read


def _photometry(suffix: str) -> Target:
    """A photometric file: a luminaire that can be true, or a refusal."""

    def read(data: bytes) -> None:
        try:
            found = luminaire_from(data, suffix)
        except LuminaireError as error:
            assert str(error)
        else:
            assert found.candela.shape == (found.c_deg.size, found.gamma_deg.size)
            assert found.lumens > 0
            assert found.candela.min() >= 0

    return read


def _app_reports(content: bytes) -> None:
    """A file of reports, which may be refused as a whole; what is read is bounded and judged without a fault."""
    try:
        _, reports = reports_of(content, "any")
    except AnswerError as error:
        assert str(error)
    else:
        for report in reports:
            assert len(report.text) <= 2 * LONGEST_TEXT + 1
            speaks_of_somebody(report.text)


def _our_topic(payload: bytes) -> None:
    """Under a topic of ours; what is read by column is what the table reads."""
    outcome = decode("noctule/h/counter-1/people-flow", payload, NOW_MS)
    _sound(outcome)
    quick = read_columns(payload)
    taken = quick is not None and quick.id in ("", "counter-1") and quick.readings and len(quick.series) == 1
    if taken and quick.series[0].quantity in ("", "people_flow", "people-flow"):
        assert len(outcome) == quick.readings
        assert all(isinstance(one, Measurement) for one in outcome)


def _any_topic(payload: bytes) -> None:
    """By the content alone, under a topic whose last level is part of the bytes."""
    _sound(decode(f"town/{payload[:6].decode('latin-1')}", payload[6:], NOW_MS))


def _door(payload: bytes) -> None:
    exposed(payload)
    kept = cleaned("v3/a/devices/b/up", payload)
    assert cleaned("v3/a/devices/b/up", kept) == kept


def _sound(outcome: list[Measurement | Rejection]) -> None:
    assert outcome
    assert all(one.device if isinstance(one, Measurement) else FAULT not in one.reason for one in outcome)
