"""What a message must not hold: identifiers or media of the people that a sensor sees.

Wi-Fi counting with hashed addresses was fined, appealed and argued over for years (Enschede, sensing.md F1); the
question cannot arise where no such content is kept. So hardware addresses and probe requests, number plates, faces,
telephone identities, pictures and sound are refused wherever they stand in a message: in JSON, in CBOR, in JSON
written as a string, as base64, hexadecimal or bytes. What identifies the *sender* is no such thing: `dev_eui` and its
like may stand in their named members, and a LoRaWAN frame is a frame.

Gateways are other people's property and stand at known places: `cleaned` takes their ids and positions out of an
uplink before it reaches the log, and leaves the times by which a later decoding must find the same readings.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence, Set
from functools import lru_cache
from io import BytesIO
from typing import Any

import cbor2
import msgspec

MAX_DEPTH = 32  # as deep as any dialect is read; below that nothing could be looked at
_MAX_NODES = 300_000  # 262,144 bytes hold fewer values, but CBOR can share one array many times over

_RADIO = "hardware addresses or probe requests"
_PLATE = "number plates"
_FACE = "faces or other bodily features"
_PHONE = "telephone or advertising identities"
_MEDIA = "pictures, video or sound"
_PERSON = "identities of persons"

# Names of members, in lower case with '_' between words, that hold one of these whatever their value; plurals and
# prefixes ("client_mac", "detected_faces") count too.
_NAMES = {
    _RADIO: """mac mac_address mac_addr mac_list mac_hash macaddress macaddr maclist machash hashed_mac bssid ssid
        probe probe_request probe_req proberequest probereq bluetooth_address ble_address bd_addr bdaddr
        hardware_address""",
    _PLATE: """plate license_plate licence_plate licenseplate licenceplate number_plate numberplate plate_number
        platenumber registration_plate vehicle_plate_identifier anpr alpr lpr vrm""",
    _FACE: """face face_id faceid face_embedding faceprint face_print facial_feature embedding biometric fingerprint
        iris gait voiceprint face_vector face_descriptor landmark""",
    _PHONE: "imei imsi tmsi msisdn phone phone_number telephone idfa gaid advertising_id",
    _MEDIA: """image photo photograph picture snapshot thumbnail jpeg jpg png image_data video clip audio audio_data
        wav mp3 pcm recording waveform speech voice transcript base64_image image_base64 frame_image""",
    _PERSON: "person_id personid visitor_id pedestrian_id person_name",
}
_FORBIDDEN = {name: kind for kind, names in _NAMES.items() for name in names.split()}
# Where the sender names itself. One hardware address may stand there, since some networks use it as the sender's name.
_OWN_NAMES = """id ids device_id deviceid device dev_id dev_eui deveui join_eui joineui app_eui dev_addr devaddr eui
    gateway_id gatewayid gateway_eui gateway_ids gateway gtw_id sn serial serial_number esp8266id esp32id sensor
    sensor_id node node_id bn n ref_device refdevice source src_address thing name device_name client_id uid urn"""
_OWN = frozenset(_OWN_NAMES.split())
# Members of our own wire, of which nearly all messages consist: a number or a short word there needs no look.
_PLAIN = frozenset(("bn", "bt", "bu", "bv", "n", "u", "v", "t", "vb", "duration_s", "boot", "seq"))
_FRAMES = frozenset(("frm_payload", "data", "raw_payload", "phy_payload"))  # base64 of what a device sent by radio
_LONGEST_FRAME = 344  # characters of base64: LoRaWAN carries at most 242 bytes, and 255 with its header
# A count of faces, or a switched-off camera, identifies nobody.
_STATES = frozenset(("", "on", "off", "none", "no", "yes", "disabled", "enabled", "ok", "true", "false", "null"))

_ADDRESS = re.compile(
    r"(?<![0-9A-Fa-f:.-])(?:[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5}"
    r"|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4})(?![0-9A-Fa-f:-])"
)
_BARE_ADDRESS = re.compile(r"(?=[0-9]*[A-Fa-f])[0-9A-Fa-f]{12}")  # twelve digits without a letter are a number
_DATA_URI = re.compile(r"data:(?:image|audio|video)/", re.IGNORECASE)
_BASE64_HEAD = re.compile(r"[A-Za-z0-9+/_-]{32}")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.@-]{0,39}")
_SPLIT = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+")
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"GIF87a", "a GIF picture"),
    (b"GIF89a", "a GIF picture"),
    (b"RIFF", "a WAV, WebP or AVI file"),
    (b"OggS", "an Ogg recording"),
    (b"fLaC", "a FLAC recording"),
    (b"ID3", "an MP3 recording"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"#!AMR", "an AMR recording"),
)
_MEDIA_BEGIN = tuple(magic[0] for magic, _ in _MAGIC)  # compared with whatever a message lists, hashable or not
_VIDEO = list(b"ftyp")  # the second word of an MP4
_SHORTEST_MEDIUM = 24  # numbers; fewer are readings that happen to look like one
_json = msgspec.json.Decoder()


class _Exposed(Exception):  # noqa: N818  # ends the walk at the first find; never leaves this file
    """A sentence about what was found."""


def exposed(payload: bytes, value: object = None) -> str | None:
    """A sentence naming the member by which a message identifies observed people, never its value; None if none does.

    Parameters
    ----------
    payload : bytes
        The payload as received.
    value : object
        What it parses to, where the caller knows; JSON and CBOR are tried otherwise.
    """
    try:
        if value is None:
            if (kind := _in_bytes(payload)) is not None:  # before CBOR, in which a PNG's first byte begins an array
                return f"the message is {kind}"
            value = _parsed(payload)
        if value is None:
            return _in_text(payload)
        _Walk().through(value)
    except _Exposed as found:
        return str(found)
    except RecursionError:
        return f"the message is nested more than {MAX_DEPTH} deep, so nobody can say what it holds"
    return None


def cleaned(topic: str, payload: bytes) -> bytes:
    """The payload of an uplink without the ids and positions of gateways; anything else as it is.

    Times of receipt stay, since by them the readings are dated. Costs a look for seven words where there is nothing.
    """
    lorawan = topic.startswith(("v3/", "application/")) or b"\\u" in payload
    if not lorawan and not any(word in payload for word in _GATEWAY_WORDS):
        return payload
    try:
        value = _json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return payload
    try:
        kept, changed = _without_gateways(value, 0)
    except RecursionError:
        return payload
    return msgspec.json.encode(kept) if changed else payload


def listed_medium(items: Sequence[object]) -> str | None:
    """What medium an array of numbers may be the bytes of; None when of none.

    >>> listed_medium([255, 216, 255, 224] + [0] * 20)
    'a JPEG picture'
    """
    if len(items) < _SHORTEST_MEDIUM or not (items[0] in _MEDIA_BEGIN or list(items[4:8]) == _VIDEO):
        return None
    head = [item for item in items[:12] if isinstance(item, int | float) and item in range(256)]
    return _in_bytes(bytes(map(int, head))) if len(head) == 12 else None


class _Walk:
    """One look through a message, without recursion of our own."""

    def __init__(self) -> None:
        self._own: str | None = None  # the one hardware address by which the sender names itself
        self._nodes = 0

    def through(self, value: object, depth: int = 0) -> None:
        """Every member of a value; `_Exposed` at the first that must not be there."""
        waiting: list[tuple[object, str, int]] = [(value, "", depth)]
        while waiting:
            here, name, depth = waiting.pop()
            self._nodes += 1
            if self._nodes > _MAX_NODES:
                raise _Exposed("the message holds more values than can be looked at")
            if isinstance(here, float | int) or here is None:
                continue
            if isinstance(here, str):
                if len(here) > 11:  # an address without separators has twelve letters
                    self._text(here, name, depth)
                continue
            if depth >= MAX_DEPTH:
                raise _Exposed(f"the message is nested more than {MAX_DEPTH} deep, so nobody can say what it holds")
            if isinstance(here, Mapping):
                for key, inner in here.items():
                    kind = type(inner)
                    if key in _PLAIN and (kind is float or kind is int or (kind is str and len(inner) < 12)):
                        continue
                    waiting.append((inner, self._member(key, inner), depth + 1))
            elif isinstance(here, list | tuple | Set):
                self._listed(here, name)
                waiting.extend((inner, name, depth + 1) for inner in here if not isinstance(inner, float | int))
            elif isinstance(here, bytes | bytearray):
                self._bytes(bytes(here), name)
            elif isinstance(here, cbor2.CBORTag):
                waiting.append((here.value, name, depth + 1))
            else:
                self._text(f" {here}", name, depth)  # CBOR also knows dates, patterns, mails

    def _member(self, key: object, value: object) -> str:
        """The member's name in our spelling; `_Exposed` when it must not be there."""
        if not isinstance(key, str):
            return "" if isinstance(key, int | float) else self._odd_key(key)
        if len(key) > 11 and (_ADDRESS.search(key) or _BARE_ADDRESS.fullmatch(key)):
            raise _Exposed("a member is named by a hardware address")
        name, kind = _judged(key[:200])
        if kind and not _says_nothing(value, kind):
            raise _Exposed(f"member '{name}' holds {kind}")
        return name

    def _odd_key(self, key: object) -> str:
        if isinstance(key, bytes):
            self._bytes(key, "")
        return ""

    def _text(self, text: str, name: str, depth: int) -> None:
        first = text[0]
        if (":" in text or "-" in text or "." in text) and (found := _ADDRESS.findall(text)):
            self._addresses(found, name)
        if _DATA_URI.search(text):
            raise _Exposed(f"{_called(name)} holds {_MEDIA}")
        if first in "{[ \t\r\n" and (stripped := text.strip())[:1] in ("{", "["):
            try:
                inner = _json.decode(stripped)
            except (msgspec.DecodeError, RecursionError):
                inner = None
            if inner is not None:
                self.through(inner, depth + 1)
            return
        if len(text) >= 32 and not (name in _FRAMES and len(text) <= _LONGEST_FRAME):
            self._encoded(text, name)
        if len(text) >= 25 and len(listed := re.split(r"[\s,;|]+", text.strip())) > 1:
            bare = [item for item in listed if _BARE_ADDRESS.fullmatch(item)]
            if len(bare) > 1:
                raise _Exposed(f"{_called(name)} holds {_RADIO}")

    def _addresses(self, found: list[str], name: str) -> None:
        """One address may name the sender; another, or one elsewhere, is somebody's."""
        if name not in _OWN:
            raise _Exposed(f"{_called(name)} holds {_RADIO}")
        for address in found:
            plain = re.sub(r"[^0-9a-f]", "", address.lower())
            self._own = self._own or plain
            if plain != self._own:
                raise _Exposed(f"{_called(name)} holds {_RADIO}")

    def _encoded(self, text: str, name: str) -> None:
        """Base64 or hexadecimal of a medium."""
        head = "".join(text[:64].split())[:32]
        if _BASE64_HEAD.fullmatch(head):
            raw = base64.b64decode(head.translate(_URL_SAFE))
            self._bytes(raw, name)
            if all(letter in "0123456789abcdefABCDEF" for letter in head):
                self._bytes(binascii.unhexlify(head), name)

    def _bytes(self, raw: bytes, name: str) -> None:
        kind = _in_bytes(raw)
        if kind is not None:
            raise _Exposed(f"{_called(name)} holds {kind}")

    def _listed(self, items: Any, name: str) -> None:
        """Addresses, or the bytes of a medium, as the items of an array."""
        if len(items) > 1:
            texts = [item for item in items if isinstance(item, str) and len(item) == 12]
            if len(texts) > 1 and sum(_BARE_ADDRESS.fullmatch(item) is not None for item in texts) > 1:
                raise _Exposed(f"{_called(name)} holds {_RADIO}")
            if sum(isinstance(item, bytes) and len(item) == 6 for item in items) > 1:
                raise _Exposed(f"{_called(name)} holds {_RADIO}")
        if isinstance(items, list) and (kind := listed_medium(items)) is not None:
            raise _Exposed(f"{_called(name)} holds {kind}")


_URL_SAFE = str.maketrans("-_", "+/")


def _parsed(payload: bytes) -> object:
    start = payload.lstrip()[:1]
    try:
        if start in (b"[", b"{", b'"'):
            return _JSON.decode(payload.decode("utf-8-sig"))
        if payload[:1] > b"\x7f":
            return _sequence(payload)
    except RecursionError:
        raise
    except Exception:  # noqa: S110  # whatever a parser says of hostile bytes, they are then looked at as bytes
        pass
    return None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """All values of a member that stands twice, lest one hides behind the other."""
    members = dict(pairs)
    if len(members) < len(pairs):
        members = {}
        for name, inner in pairs:
            members.setdefault(name, []).append(inner)
    return members


_JSON = json.JSONDecoder(object_pairs_hook=_members)


def _sequence(payload: bytes) -> list[object]:
    """The items of a CBOR sequence (RFC 8742); readers that take the first alone leave the rest unseen."""
    source = BytesIO(payload)
    items: list[object] = []
    while source.tell() < len(payload):
        if len(items) == MAX_DEPTH:
            items.append(payload[source.tell() :].decode("latin-1"))
            break
        start = source.tell()
        try:
            items.append(cbor2.CBORDecoder(source).decode())
        except RecursionError:
            raise
        except Exception:
            if not items:
                raise
            items.append(payload[start:].decode("latin-1"))
            break
    return items


def _in_bytes(raw: bytes) -> str | None:
    for magic, kind in _MAGIC:
        if raw.startswith(magic):
            return kind
    return "a video" if raw[4:8] == bytes(_VIDEO) else None


def _in_text(payload: bytes) -> str | None:
    """What is neither JSON nor CBOR is looked at as text."""
    text = payload.decode("utf-8", "replace")
    if _ADDRESS.search(text):
        return f"the message holds {_RADIO}"
    _Walk().through([text])
    for member in re.findall(r'"([^"\\]{2,60})"\s*:', text):
        if (found := _judged(member))[1]:
            return f"member '{found[0]}' may hold {found[1]}, and the message cannot be read"
    return None


@lru_cache(4096)
def _judged(key: str) -> tuple[str, str | None]:
    """A member's name in our spelling, and what it holds that it must not."""
    words = [word for word in _SPLIT.split(key) if word]
    name = "_".join(words).lower()
    if name in _OWN:
        return name, None
    for start in range(len(words)):
        tail = "_".join(words[start:]).lower()
        for form in (tail, tail.removesuffix("s"), tail.removesuffix("es"), tail.removesuffix("_ids")):
            if form in _FORBIDDEN:
                return name, _FORBIDDEN[form]
    for stem in ("probe_request", "license_plate", "licence_plate", "number_plate", "face_embedding", "face_id"):
        if stem in name:
            return name, _FORBIDDEN[stem]
    return name, None


def _says_nothing(value: object, kind: str) -> bool:
    """A count, a switch or an empty member identifies nobody; a telephone identity may be a number."""
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int | float):
        return kind != _PHONE or abs(value) < 1e6
    if isinstance(value, str):
        return value.strip().lower() in _STATES
    return isinstance(value, list | dict | bytes) and not value


def _called(name: str) -> str:
    return f"member '{name}'" if _WORD.fullmatch(name) else "the message"


# Members of an uplink that tell of gateways, as The Things Stack, ChirpStack 3 and 4 and their bridges spell them.
_RECEPTIONS = frozenset(("rx_metadata", "rxInfo", "rxinfo", "rx_info", "gateways", "gws"))
_GATEWAY_NAMES = """gateway_ids gatewayIds gateway_id gatewayId gatewayID gateway_eui gatewayEui gtw_id gtw_eui gateway
    locations uplink_token relayRxInfo packet_broker"""
_GATEWAY = frozenset(_GATEWAY_NAMES.split())
_GATEWAY_WORDS = (b"rx_metadata", b"rxInfo", b"rxinfo", b"rx_info", b"gateway", b"gtw_", b'"locations"', b'"gws"')
_TIMES = frozenset(("time", "gwTime", "nsTime", "gps_time", "received_at"))


def _without_gateways(value: Any, depth: int) -> tuple[Any, bool]:
    if depth > MAX_DEPTH or not isinstance(value, dict | list):
        return value, False
    changed = False
    if isinstance(value, list):
        items = []
        for item in value:
            kept, different = _without_gateways(item, depth + 1)
            items.append(kept)
            changed |= different
        return items, changed
    members: dict[str, Any] = {}
    for name, inner in value.items():
        if name in _GATEWAY:
            changed = True
            continue
        if name in _RECEPTIONS and isinstance(inner, list):
            members[name] = [
                {key: item[key] for key in item.keys() & _TIMES if isinstance(item[key], str)}
                for item in inner
                if isinstance(item, dict)
            ]
            changed |= members[name] != inner
            continue
        members[name], different = _without_gateways(inner, depth + 1)
        changed |= different
    return members, changed
