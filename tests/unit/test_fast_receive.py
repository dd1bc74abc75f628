"""The fast receiver says what stock paho says: same messages, same order, same acknowledgements, same end."""

from __future__ import annotations

import os
import random
import struct

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from ingest.fast_receive import FastClient, exchange

V5, V3 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
STREAMS = 6_000 if os.environ.get("NOCTULE_SLOW") else 300
TOPICS = (b"noctule/town/lamp-1/power", b"t", "stra\u00dfe/\u6e2f".encode(), b"\xff\xfe/no/text", b"x" * 300)
LENGTHS = (0, 1, 5, 90, 110, 118, 126, 127, 128, 150, 16_383, 16_400, 40_000)


def variable(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = divmod(number, 128)
        out.append(low | (128 if number else 0))
        if not number:
            return bytes(out)


def frame(header: int, topic: bytes, number: int, payload: bytes, properties: bytes | None) -> bytes:
    """A PUBLISH; `properties` is None in MQTT 3.1.1."""
    body = struct.pack("!H", len(topic)) + topic + (struct.pack("!H", number) if header & 6 else b"")
    body += b"" if properties is None else variable(len(properties)) + properties
    return bytes([header]) + variable(len(body) + len(payload)) + body + payload


def pair(generator: random.Random, name: bytes, length: int) -> bytes:
    value = generator.randbytes(length).hex().encode()
    return b"\x26" + struct.pack("!H", len(name)) + name + struct.pack("!H", len(value)) + value


def properties_of(generator: random.Random) -> bytes:
    block = b""
    if generator.random() < 0.15:
        block += b"\x01\x01"  # payload is text
    if generator.random() < 0.1:
        block += b"\x02" + struct.pack("!I", generator.choice((60, 3600)))  # message expiry
    if generator.random() < 0.1:
        block += b"\x23" + struct.pack("!H", generator.randrange(1, 20))  # topic alias
    if generator.random() < 0.1:
        block += pair(generator, b"site", 4)
    if generator.random() < 0.05:
        block += pair(generator, b"long", 100)  # a block whose own length takes two bytes
    return block


def publish(generator: random.Random, version5: bool) -> bytes:
    qos = generator.choices((0, 1, 2), (4, 8, 1))[0]
    header = 0x30 | qos << 1 | (generator.random() < 0.1) | (generator.random() < 0.1) << 3
    topic = b"" if version5 and generator.random() < 0.03 else generator.choice(TOPICS)  # an alias has no topic
    payload = generator.randbytes(generator.choice(LENGTHS))
    properties = properties_of(generator) if version5 else None
    number = generator.randrange(1, 65_536)
    released = b"\x62\x02" + struct.pack("!H", number) if qos == 2 else b""
    return frame(header, topic, number, payload, properties) + released


def spoilt(generator: random.Random, good: bytes) -> bytes:
    """A frame that breaks a rule of MQTT, or only may."""
    bad = bytearray(good)
    for _ in range(generator.choice((1, 1, 2, 5))):
        bad[generator.randrange(min(len(bad), 60))] = generator.choice((0, 1, 127, 128, 255, generator.randrange(256)))
    return bytes(bad)


def chunks_of(generator: random.Random, stream: bytes) -> list[bytes]:
    chunks, at = [], 0
    sizes = generator.choice(((1, 2, 3, 7, 100), (172, 1_000, 5_000), (60_000,), (1, 172, 60_000)))
    while at < len(stream):
        size = generator.choice(sizes) if len(chunks) < 400 else 60_000
        chunks.append(stream[at : at + size])
        at += size
    return chunks


@pytest.mark.parametrize("version", [V5, V3])
def test_any_stream_in_any_chunks_is_read_as_stock_paho_reads_it(version):
    messages = 0
    for seed in range(STREAMS // 2):
        generator = random.Random(seed)
        frames = [
            generator.choice((b"\xd0\x00", publish(generator, version == V5)))
            if generator.random() < 0.15
            else publish(generator, version == V5)
            for _ in range(generator.randrange(1, 40))
        ]
        chunks = chunks_of(generator, b"".join(frames))
        fast, stock = exchange(FastClient, chunks, version), exchange(paho.Client, chunks, version)
        assert fast == stock, f"seed {seed}"
        assert fast.alive
        messages += len(fast.messages)
    assert messages > 5 * STREAMS


@pytest.mark.parametrize("version", [V5, V3])
def test_a_spoilt_stream_ends_where_stock_paho_ends_it(version):
    ended = 0
    for seed in range(STREAMS // 2):
        generator = random.Random(-seed - 1)
        frames = [publish(generator, version == V5) for _ in range(generator.randrange(1, 20))]
        broken = generator.randrange(len(frames))
        frames[broken] = spoilt(generator, frames[broken])
        chunks = chunks_of(generator, b"".join(frames))
        fast, stock = exchange(FastClient, chunks, version), exchange(paho.Client, chunks, version)
        assert fast == stock, f"seed {seed}"
        ended += not fast.alive
    assert ended > STREAMS // 40
