"""The fast receiver says what stock paho says: same messages, same order, same acknowledgements, same end."""

from __future__ import annotations

import gc
import os
import random
import socket
import struct
import weakref

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from ingest import fast_receive as module
from ingest.fast_receive import BufferedSocket, FastClient, exchange

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
    large = generator.random() < 0.005  # more than we tell a broker to send; MQTT 3.1.1 has no way to say it
    payload = generator.randbytes(300_000 if large else generator.choice(LENGTHS))
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


@pytest.mark.parametrize("version", [V5, V3])
def test_frames_as_long_as_ones_before_are_read_as_stock_paho_reads_them(version):
    none = b"" if version == V5 else None
    for seed in range(STREAMS // 2):
        generator = random.Random(seed)
        length = generator.choice((40, 60, 100, 120, 200, 16_000, 20_000))
        topic, payload = b"noctule/town/lamp-1/power", bytes(length)
        as_long = [
            frame(generator.choice((0x32, 0x32, 0x3A, 0x33)), topic, 1 + at, generator.randbytes(length), none)
            for at in range(6)
        ]
        as_long.append(frame(0x32, topic + b"s", 77, payload[1:], none))
        as_long.append(frame(0x30, topic, 0, payload + b"78", none))
        if version == V5:
            as_long.append(frame(0x32, topic, 79, payload[2:], b"\x01\x01"))
        if generator.random() < 0.3:
            as_long.append(frame(0x32, topic, 0, payload, none))  # without its number
        frames = generator.choices(as_long, k=30)
        chunks = chunks_of(generator, b"".join([as_long[0], *frames]))
        assert exchange(FastClient, chunks, version) == exchange(paho.Client, chunks, version), f"seed {seed}"


def test_lengths_that_a_device_makes_up_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(module, "_LAYOUTS_KNOWN", 50)
    frames = [frame(0x32, b"t", 1 + length, bytes(length), b"") for length in range(300)]
    client = FastClient(CallbackAPIVersion.VERSION2, client_id="layouts", protocol=V5, manual_ack=True)
    taken = []
    client.on_batch = lambda messages, _size: taken.extend(messages)
    for one in frames:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            buffered = BufferedSocket(ours)
            theirs.sendall(one)
            assert buffered.fill()
            client._take_publishes(buffered)
            assert len(client._layouts) <= 50
    assert len(taken) == 300


@pytest.mark.parametrize("version", [V5, V3])
def test_a_message_cut_at_any_byte_comes_once(version):
    properties = b"\x01\x01" if version == V5 else None
    stream = frame(0x32, b"noctule/town/a/power", 5, b"[]", properties) + frame(0x30, b"t", 0, b"x", properties)
    for cut in range(1, len(stream)):
        got = exchange(FastClient, [stream[:cut], stream[cut:]], version)
        assert [(mid, payload) for _, mid, _, payload in got.messages] == [(5, b"[]"), (0, b"x")]
        assert got.sent == b"\x40\x02\x00\x05"
        assert got.alive
    for payload in (bytes(200), bytes(20_000)):  # lengths of two bytes and of three
        long = frame(0x32, b"noctule/town/a/power", 5, payload, properties)
        for cut in range(1, 40):
            got = exchange(FastClient, [long[:cut], long[cut:] + long], version)
            assert [len(message[3]) for message in got.messages] == [len(payload)] * 2


@pytest.mark.parametrize(
    "bad",
    [
        b"\x32\xff\xff\xff\xff\x7f",  # a length of five bytes
        b"\x32\x07\x00\x09topic",  # a topic longer than its frame
        b"\x32\x03\x00\x01t",  # no room for the number
        b"\x32\x05\x00\x01t\x00\x05",  # no room for the properties
        b"\x32\x06\x00\x01t\x00\x05\x02",  # properties longer than the frame
        b"\x32\x08\x00\x01t\x00\x05\x02\x7f\x7f",  # a property that there is not
        b"\x36\x08\x00\x01t\x00\x05\x00[]",  # QoS 3
        b"\x32\x00",
        b"\xf0\x00",
    ],
    ids=bytes.hex,
)
def test_a_frame_that_breaks_the_rules_ends_the_connection(bad):
    good = frame(0x32, b"t", 5, b"before", b"")
    got = exchange(FastClient, [good + bad + good], V5)
    assert not got.alive
    assert [payload for _, _, _, payload in got.messages] == [b"before"]


def test_properties_that_were_right_once_are_wrong_when_they_reach_over_the_end_of_their_frame():
    block = pair(random.Random(1), b"site", 4)
    right = frame(0x32, b"t", 5, b"[]", block)
    short = bytes([0x32, 6 + 3]) + b"\x00\x01t\x00\x05" + bytes([len(block)]) + block  # all but 3 is the next frame's
    for kind in (FastClient, paho.Client):
        got = exchange(kind, [right, short + right], V5)
        assert [payload for _, _, _, payload in got.messages] == [b"[]"]
        assert not got.alive


def test_a_batch_is_acknowledged_in_one_write_and_in_order():
    client, plain = connected_client()
    client.acknowledge(
        [(b"t", mid, 0x32, b"") for mid in (7, 7, 9, 65_535)] + [(b"t", 0, 0x30, b""), (b"t", 4, 0x34, b"")]
    )
    assert plain.writes == [b"\x40\x02\x00\x07" * 2 + b"\x40\x02\x00\x09\x40\x02\xff\xff" + b"\x70\x02\x00\x04"]


def test_acknowledgements_that_the_socket_does_not_take_follow_in_order_and_nothing_is_read_meanwhile(monkeypatch):
    monkeypatch.setattr(module, "_UNSENT", 1_000)
    client, plain = connected_client()
    theirs = plain.theirs
    got: list[int] = []
    client.on_batch = lambda messages, _size: got.extend(mid for _, mid, _, _ in messages)
    plain.room = 10
    client.acknowledge([(b"t", mid, 0x32, b"") for mid in range(1, 501)])
    theirs.sendall(frame(0x32, b"t", 5, b"x", b""))
    plain.room = 0
    for _ in range(3):
        assert client.loop(0.0) == MQTTErrorCode.MQTT_ERR_SUCCESS
    assert got == []
    plain.room = 1 << 20
    for _ in range(3):
        assert client.loop(0.0) == MQTTErrorCode.MQTT_ERR_SUCCESS
    assert got == [5]
    sent = b"".join(plain.writes)
    assert [mid for (mid,) in struct.iter_unpack("!2xH", sent)] == list(range(1, 501))


@pytest.mark.parametrize("doing", [lambda client: client.acknowledge([(b"t", 1, 0x32, b"")]), FastClient.loop])
def test_a_connection_that_broke_is_gone_at_once_and_not_when_garbage_is_collected(doing):
    client, plain = connected_client()

    def reset(*_):
        raise ConnectionResetError("reset by peer")

    plain.send = plain.recv = reset
    plain.theirs.sendall(b"there is something to read")
    gone = weakref.ref(client)
    gc.disable()
    try:
        assert doing(client) != MQTTErrorCode.MQTT_ERR_SUCCESS
        assert str(client.trouble) == "reset by peer"
        del client
        assert gone() is None
    finally:
        gc.enable()


def test_another_paho_is_refused(monkeypatch):
    assert module.REFUSAL == ""
    monkeypatch.setattr(module, "version", "2.3.0")
    assert module._refusal() == "paho-mqtt is 2.3.0, the fast receiver knows 2.2"


def test_a_paho_without_a_name_that_we_use_is_refused(monkeypatch):
    monkeypatch.setattr(module, "PRIVATE", (*module.PRIVATE, "_moved_away"))
    assert module._refusal().endswith("has no _moved_away")


def test_a_parser_that_reads_otherwise_than_paho_is_refused(monkeypatch):
    right = FastClient._take_publishes

    def forgetful(client: FastClient, buffered: BufferedSocket) -> bool:
        client.on_batch, whole = (lambda batch, size: whole(batch[1:], size)), client.on_batch
        incomplete = right(client, buffered)
        client.on_batch = whole
        return incomplete

    monkeypatch.setattr(FastClient, "_take_publishes", forgetful)
    assert "read known frames differently" in module._refusal()


class NarrowSocket(socket.socket):
    """Takes no more than there is room for, and remembers each write."""

    theirs: socket.socket
    room = 1 << 20
    writes: list[bytes]

    def send(self, data: bytes) -> int:
        if not self.room:
            raise BlockingIOError
        taken = bytes(data[: self.room])
        self.writes.append(taken)
        self.room -= len(taken)
        return len(taken)


@pytest.fixture(autouse=True)
def _closing():
    yield
    while _OPEN:
        _OPEN.pop().close()


_OPEN: list[socket.socket] = []


def connected_client() -> tuple[FastClient, NarrowSocket]:
    ours, theirs = socket.socketpair()
    plain = NarrowSocket(fileno=ours.detach())
    plain.theirs, plain.writes = theirs, []
    _OPEN.extend((plain, theirs))
    client = FastClient(CallbackAPIVersion.VERSION2, client_id="x", protocol=V5, manual_ack=True)
    client._create_socket_connection = lambda: plain
    client.connect("127.0.0.1", 1, 60)
    theirs.sendall(b"\x20\x03\0\0\0")
    client.loop(1.0)
    plain.writes.clear()
    return client, plain
