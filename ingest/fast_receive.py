"""Receiving at a fiftieth of the cost: paho's client, with runs of PUBLISH frames taken straight out of a large buffer.

paho reads a message with five system calls and about 190 Python calls (`benchmarks/ingest/receive.py`). Here one
`recv` fetches up to 256 KiB, complete PUBLISH frames of QoS 0 and 1 at its front are cut out in one loop, and the
acknowledgements of a batch leave in one `send`. Everything else stays paho's: connecting, subscribing, keep-alive,
QoS 2, property blocks that are long or new, whatever is large and not complete, and whatever is wrong. So a frame that
this file does not take is judged by paho's parser, and both give the same messages in the same order; a test holds
them to that with random streams.

The frames are those of MQTT 5 and 3.1.1, clause 3.3; the length is that of clause 2.1.4 (2.2.3 in 3.1.1).
"""

from __future__ import annotations

import itertools
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt import __version__ as version
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

# A message as it came: the topic's bytes (UTF-8, if the sender kept to MQTT 1.5.4), its packet number (0 for QoS 0),
# its header byte (retained, so of unknown age: header & 1; quality of service: header >> 1 & 3) and the payload.
Raw = tuple[bytes, int, int, bytes]

PAHO = "2.2"  # whose private names these are; _create_socket_connection and _topic are for comparing with stock paho
PRIVATE = ("_create_socket", "_create_socket_connection", "_in_packet", "_last_bytes_received", "_last_msg_out")

_AT_ONCE = 1 << 18  # bytes asked of the socket; more gains nothing, a broker's own buffer is seldom larger
_HELD = 1 << 14  # bytes of an incomplete frame that are worth waiting for; a larger one paho collects in pieces
_UNSENT = 1 << 20  # bytes that the broker may leave untaken before we stop reading from it; 262,144 acknowledgements
_BLOCKS_KNOWN = 1024  # property blocks; a city's devices send a handful of different ones
_LAYOUTS_KNOWN = 4096  # lengths of frame and topic; a city's devices send some dozens
# How frames that begin with the same five bytes, which hold all lengths, are cut: what gives topic, packet number,
# length of the property block and payload; the header; the length of the frame.
_Layout = tuple[Callable[[bytes, int], tuple[Any, ...]], int, int]
_HOUSEKEEPING_S = 0.25  # how often keep-alive is looked at
_PUBACK = [struct.pack("!BBH", 0x40, 2, number) for number in range(1 << 16)]
_FRONT = struct.Struct("!BBBH").unpack_from
_NUMBER = struct.Struct("!H").unpack_from
_NUMBER_AND_BLOCK = struct.Struct("!HB").unpack_from
_PUBCOMP = b"\x70\x02"
_TURNS = 100_000  # of a client under test, for one chunk; a slow machine is no reason to refuse it


class Encryption:
    """TLS over bytes in memory, so that one read of the socket may bring a thousand records.

    A broker makes a record of each message. Python's own TLS socket needs two system calls for every record and hides
    what it has decrypted from `select`.
    """

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def shake_hands(self, plain: socket.socket, timeout_s: float) -> None:
        """Agree with the other side, on a socket that may block for so long."""
        deadline = time.monotonic() + timeout_s
        while True:
            plain.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                self._tls.do_handshake()
                return
            except ssl.SSLWantReadError:
                pass
            finally:  # also where it failed: the other side is told why
                plain.sendall(self._outgoing.read())
            data = plain.recv(_AT_ONCE)
            if not data:
                raise ConnectionResetError("it hung up while encryption was agreed on")
            self._incoming.write(data)

    def opened(self, data: bytes) -> bytes:
        """What bytes from the socket say; empty as well while a record is not complete."""
        self._incoming.write(data)
        parts = []
        with suppress(ssl.SSLWantReadError):
            while part := self._tls.read(_AT_ONCE):  # nothing: the other side said goodbye, and the socket will close
                parts.append(part)
        return b"".join(parts)

    def sealed(self, data: bytes | bytearray) -> bytes:
        """The bytes for the socket that say so, and whatever else TLS has to say."""
        at = memoryview(data)
        while at:
            at = at[self._tls.write(at) :]
        return self._outgoing.read()


class BufferedSocket:
    """A connected socket that reads much at once and never blocks nor refuses what is to be sent."""

    def __init__(self, plain: socket.socket, encryption: Encryption | None = None) -> None:
        self.buffer = b""
        self.position = 0
        self.full = False  # whether the last read brought so much that there may be more
        self.unsent = bytearray()
        self.trouble: OSError | None = None  # what the system or TLS said when it refused
        self._plain = plain
        self._encryption = encryption
        self._poll = select.poll()  # `select` knows no descriptor above 1,023
        self._wanted = select.POLLIN
        self._poll.register(plain, self._wanted)

    def wait(self, timeout_s: float) -> int:
        """Wait until there is something to read or, if something is unsent, room to send; what, as `poll` says."""
        # A broker that takes no acknowledgements gets no further messages taken: nobody's memory may grow.
        wanted = select.POLLIN if len(self.unsent) < _UNSENT else 0
        if self.unsent:
            wanted |= select.POLLOUT
        if wanted != self._wanted:
            self._poll.modify(self._plain, wanted)
            self._wanted = wanted
        found = self._poll.poll(timeout_s * 1000)
        return found[0][1] if found else 0

    def fill(self) -> bool:
        """Read what is there, up to 256 KiB, behind what is left; False when the other side has closed."""
        self.full = False
        try:
            data = self._plain.recv(_AT_ONCE)
            if not data:
                return False
            self.full = len(data) > _AT_ONCE // 2
            if self._encryption is not None:
                data = self._encryption.opened(data)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError as error:
            self.trouble = error.with_traceback(None)  # its frames hold this socket, open, until garbage is collected
            return False
        self.buffer = self.buffer[self.position :] + data if self.position < len(self.buffer) else data
        self.position = 0
        return True

    def pending(self) -> int:
        """How many bytes are read and not taken."""
        return len(self.buffer) - self.position

    def recv(self, size: int) -> bytes:
        """Take bytes out of the buffer, for paho; only `fill` reads from the socket."""
        start = self.position
        data = self.buffer[start : start + size]
        if not data:
            raise BlockingIOError
        self.position = start + len(data)
        return data

    def send(self, data: bytes | bytearray) -> int:
        """Send what the socket takes and keep the rest for `flush`, so that packets of two senders never mix."""
        self.unsent += data if self._encryption is None else self._encryption.sealed(data)
        self.flush()
        return len(data)

    def flush(self) -> None:
        """Send what was kept."""
        try:
            while self.unsent:
                del self.unsent[: self._plain.send(self.unsent)]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self.trouble = error.with_traceback(None)
            raise ConnectionError(str(error)) from None

    def close(self) -> None:
        """Close the connection."""
        self._plain.close()

    def fileno(self) -> int:
        """The descriptor, for `select`; -1 when closed."""
        return self._plain.fileno()

    def setblocking(self, flag: bool) -> None:
        """As for every socket."""
        self._plain.setblocking(flag)


class FastClient(paho.Client):
    """A paho client that hands over messages in batches.

    on_batch : is given the messages of QoS 0 and 1 that came together, and the bytes of their frames; those that paho
        parses itself come by `on_message`, in order with the others
    fault : what went wrong in this file, where it should not have; then a stock client must go on
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.on_batch: Callable[[list[Raw], int], None] = lambda _messages, _size: None
        self.fault = ""
        self._buffered: BufferedSocket | None = None
        self._context: ssl.SSLContext | None = None
        self._known_blocks: set[bytes] = set()
        self._layouts: dict[bytes, _Layout] = {}
        self._housekeeping_at = 0.0

    @property
    def more(self) -> bool:
        """Whether there may be more to read at once."""
        return self._buffered is not None and self._buffered.full

    @property
    def trouble(self) -> OSError | None:
        """What the socket said when the connection ended, if it said anything."""
        return None if self._buffered is None else self._buffered.trouble

    def tls_set_context(self, context: ssl.SSLContext | None = None) -> None:
        """As paho's."""
        super().tls_set_context(context)
        self._context = context or ssl.create_default_context()

    def loop(self, timeout: float = 1.0) -> MQTTErrorCode:
        """One turn, like paho's: wait up to `timeout` seconds, read and send what can be, see to keep-alive."""
        buffered = self._connected_socket()
        if buffered is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        try:
            events = buffered.wait(timeout)
            if events & select.POLLOUT:
                buffered.flush()
            if events & ~select.POLLOUT:
                if not buffered.fill():
                    return MQTTErrorCode.MQTT_ERR_CONN_LOST
                self._last_bytes_received = time.monotonic()
        except OSError:
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        if buffered.pending():
            code = self._drain(buffered)
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return code
            if self.want_write():  # what a callback wanted said
                self.loop_write()
        now = time.monotonic()
        if now < self._housekeeping_at:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        self._housekeeping_at = now + _HOUSEKEEPING_S
        return self.loop_misc()

    def acknowledge(self, messages: Sequence[Raw]) -> MQTTErrorCode:
        """Send the acknowledgements of messages, in order, in one write."""
        buffered = self._connected_socket()
        if buffered is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        try:
            if all(header & 6 == 2 for header in {raw[2] for raw in messages}):  # QoS 1, as nearly always
                answers = [_PUBACK[raw[1]] for raw in messages]
            else:
                answers = [_answer(mid, header) for _, mid, header, _ in messages]
            buffered.send(b"".join(answers))
        except OSError:
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        self._last_msg_out = time.monotonic()
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _create_socket(self) -> BufferedSocket:
        plain = self._create_socket_connection()
        encryption = None if self._context is None else Encryption(self._context, self.host)
        try:
            with suppress(OSError):  # a socket pair has no such option
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or acknowledgements wait for company
            if encryption is not None:
                encryption.shake_hands(plain, self.connect_timeout)
        except BaseException:
            plain.close()
            raise
        self._buffered = BufferedSocket(plain, encryption)
        return self._buffered

    def _connected_socket(self) -> BufferedSocket | None:
        """Our socket, unless paho has closed it."""
        connected: object = self.socket()
        return self._buffered if connected is self._buffered else None

    def _drain(self, buffered: BufferedSocket) -> MQTTErrorCode:
        """Take all whole packets out of the buffer: ours here, the others by paho, in order."""
        while buffered.pending():
            if self._in_packet["command"] == 0:
                try:
                    incomplete = self._take_publishes(buffered)
                except Exception as error:
                    self.fault = f"{type(error).__name__}: {error}"
                    raise
                if incomplete:
                    break
            left = buffered.pending()
            if left:
                code = self.loop_read()
                if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    return code
                if self._connected_socket() is not buffered:
                    return MQTTErrorCode.MQTT_ERR_CONN_LOST
                if buffered.pending() == left:
                    break
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _take_publishes(self, buffered: BufferedSocket) -> bool:
        """Cut complete PUBLISH frames off the front; whether what is left is one that is worth waiting for.

        Stops at whatever is not a plain, right, complete frame; what that is, is for paho to say.
        """
        buffer, start = buffered.buffer, buffered.position
        end = len(buffer)
        version5 = self.protocol == MQTTProtocolVersion.MQTTv5
        blocks, layouts = self._known_blocks, self._layouts
        incomplete = False
        messages: list[Raw] = []
        at = start
        while end - at > 4:  # no right PUBLISH is shorter than 5 bytes
            layout = layouts.get(buffer[at : at + 5])
            if layout is not None:
                cut, header, length = layout
                after = at + length
                if after <= end:
                    name, number, block_length, payload = cut(buffer, at)
                    if number and not block_length:
                        messages.append((name, number, header, payload))
                        at = after
                        continue
            # One call instead of five subscripts, a third of the time: the header, and the length of the topic where
            # the frame's own length took two bytes, as that of nearly every reading does.
            header, low, high, size = _FRONT(buffer, at)
            if header & 0xF4 != 0x30:  # PUBLISH, QoS 0 or 1
                break
            if low < 128:
                topic, after = at + 4, at + 2 + low
                size = high << 8 | size >> 8
            elif high < 128:
                topic, after = at + 5, at + 3 + (low - 128) + (high << 7)
            elif size < 128 << 8 and end - at > 5:
                topic, after = at + 6, at + 4 + (low - 128) + (high - 128 << 7) + (size >> 8 << 14)
                size = buffer[at + 4] << 8 | buffer[at + 5]
            else:
                break
            if after > end:
                incomplete = after - at < _HELD
                break
            topic_end = topic + size
            number = block_length = 0
            if header & 2:
                content = topic_end + 3 if version5 else topic_end + 2
                if content > after:
                    break
                if version5:
                    number, block_length = _NUMBER_AND_BLOCK(buffer, topic_end)
                else:
                    (number,) = _NUMBER(buffer, topic_end)
                if not number:
                    break
            else:
                content = topic_end + 1 if version5 else topic_end
                if content > after:
                    break
                if version5:
                    block_length = buffer[topic_end]
            if not size:  # an alias, or wrong
                break
            if block_length:
                block = buffer[content - 1 : content + block_length]
                content += block_length
                if content > after or (block not in blocks and not self._right_block(block)):
                    break
            messages.append((buffer[topic:topic_end], number, header, buffer[content:after]))
            if header & 2 and not block_length and topic - at <= 5:
                self._learn(buffer[at : at + 5], header, (topic - at, size, after - content, after - at))
            at = after
        if messages:
            buffered.position = at
            self.on_batch(messages, at - start)
        return incomplete

    def _learn(self, front: bytes, header: int, lengths: tuple[int, int, int, int]) -> None:
        """Cut the next frame of these lengths (what stands before the topic, topic, payload, all) in one call."""
        if len(self._layouts) >= _LAYOUTS_KNOWN:
            self._layouts.clear()
        before, topic, payload, length = lengths
        block = "B" if self.protocol == MQTTProtocolVersion.MQTTv5 else "0s"
        cut = struct.Struct(f"!{before}x{topic}sH{block}{payload}s").unpack_from
        self._layouts[front] = (cut, header, length)

    def _right_block(self, block: bytes) -> bool:
        """Whether paho takes a property block as it stands; remembered if so."""
        if block[0] > 127:  # its own length takes two bytes or more
            return False
        try:
            Properties(PacketTypes.PUBLISH).unpack(block)  # type: ignore[no-untyped-call]  # paho has no types here
        except Exception:  # it raises many kinds; which one is between paho's parser and the broker
            return False
        if len(self._known_blocks) >= _BLOCKS_KNOWN:
            self._known_blocks.clear()
        self._known_blocks.add(block)
        return True


def raw_of(message: paho.MQTTMessage) -> Raw:
    """A message that paho parsed, as our own parser would have given it."""
    header = 0x30 | message.dup << 3 | message.qos << 1 | message.retain
    # The topic's bytes are a private name; the public one is text, and raises on what is none.
    return message._topic, message.mid, header, bytes(message.payload)


def _answer(mid: int, header: int) -> bytes:
    """The acknowledgement of a message of any QoS."""
    if header & 2:
        return _PUBACK[mid]
    return _PUBCOMP + mid.to_bytes(2, "big") if header & 4 else b""


def _refusal() -> str:
    """Why this file may not be used with the paho that is installed; empty if it may."""
    if not version.startswith(PAHO + "."):
        return f"paho-mqtt is {version}, the fast receiver knows {PAHO}"
    try:
        stock: Any = paho.Client(CallbackAPIVersion.VERSION2)
        missing = [name for name in PRIVATE if not hasattr(stock, name)]
        if missing:
            return f"paho-mqtt {version} has no {', '.join(missing)}"
        for protocol in (MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311):
            stream = _known_frames(protocol == MQTTProtocolVersion.MQTTv5)
            if exchange(FastClient, stream, protocol) != exchange(paho.Client, stream, protocol):
                return f"the fast receiver and paho-mqtt {version} read known frames differently"
    except Exception as error:  # whatever it is, stock paho can still receive
        return f"the fast receiver failed its self-test: {type(error).__name__}: {error}"
    return ""


class Exchange(NamedTuple):
    """What a client made of a stream: its messages, what it sent after CONNECT, and whether it stayed connected."""

    messages: list[Raw]
    sent: bytes
    alive: bool


def exchange(kind: type[paho.Client], chunks: Sequence[bytes], protocol: MQTTProtocolVersion) -> Exchange:
    """Let a client read chunks of a broker's stream from a socket pair, acknowledging all after each chunk."""
    ours, theirs = socket.socketpair()
    messages: list[Raw] = []
    sent = bytearray()
    client: Any = kind(CallbackAPIVersion.VERSION2, client_id="self-test", protocol=protocol, manual_ack=True)
    client.on_message = lambda _client, _userdata, message: messages.append(raw_of(message))
    client.on_batch = lambda batch, _size: messages.extend(batch)
    client._create_socket_connection = lambda: ours
    with theirs, ours:
        theirs.setblocking(False)
        client.connect("127.0.0.1", 1, 60)
        theirs.recv(_AT_ONCE)
        done, alive = 0, True
        for chunk in (b"\x20\x03\0\0\0" if protocol == MQTTProtocolVersion.MQTTv5 else b"\x20\x02\0\0", *chunks):
            theirs.sendall(chunk)
            for _ in range(_TURNS):
                if not alive or not select.select([ours], [], [], 0)[0]:
                    break
                try:
                    alive = client.loop(0.0) == MQTTErrorCode.MQTT_ERR_SUCCESS
                except Exception:  # paho raises many kinds on a broken packet; whoever owns the client drops it then
                    alive = False
            if not alive:
                break
            if isinstance(client, FastClient):
                client.acknowledge(messages[done:])
            else:
                for _topic, mid, header, _payload in messages[done:]:
                    client.ack(mid, header >> 1 & 3)
            done = len(messages)
            with suppress(BlockingIOError):
                while data := theirs.recv(_AT_ONCE):
                    sent += data
    return Exchange(messages, bytes(sent), alive)


def _known_frames(version5: bool) -> list[bytes]:
    """A stream of frames that tells a wrong parser from a right one, in awkward chunks."""

    def frame(header: int, topic: bytes, number: int, properties: bytes, payload: bytes) -> bytes:
        body = struct.pack("!H", len(topic)) + topic + (struct.pack("!H", number) if header & 6 else b"")
        body += bytes([len(properties)]) + properties + payload if version5 else payload
        size, length = bytearray(), len(body)
        while length > 127:
            size.append(length & 127 | 128)
            length >>= 7
        return bytes([header]) + bytes(size) + bytes([length]) + body

    whole = b"".join(
        [
            frame(0x32, b"noctule/town/a/power", 1, b"", b"[]"),
            frame(0x30, b"t", 0, b"", b""),
            frame(0x3B, b"noctule/town/b/power", 65_535, b"\x01\x01", bytes(200)),
            b"\xd0\x00",
            frame(0x33, "stra\u00dfe".encode(), 256, b"\x26\0\x01k\0\x01v", bytes(17_000)),
            frame(0x34, b"noctule/town/c/power", 7, b"", b"twice"),
            frame(0x32, b"\xff\xfe", 9, b"", b"no text"),
            b"\x62\x02\x00\x07",
        ]
    )
    cuts = [0, 1, 30, 31, 33, 300, 9_000, 17_400, len(whole)]
    return [whole[start:stop] for start, stop in itertools.pairwise(cuts)]


REFUSAL = _refusal()
