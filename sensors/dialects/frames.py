"""The bytes of a LoRaWAN frame, read by the decoder that a city names, or that the bytes themselves name.

Paxcounter (docs/payloadformat.md of cyberman54/ESP32-Paxcounter): port 1 counts the radio devices seen by Wi-Fi and by
Bluetooth in a scan cycle of 60 s. *plain* is big-endian, *packed* little-endian, and the bytes do not say which, so
`decoder` must, or a `decoded_payload` that only one of them agrees with. Both counts together are one `devices_seen`,
the devices' own `pax`; no number of devices is ever a number of people. Positions are not read.

Milesight (README.md and *_Decoder.js of Milesight-IoT/SensorDecoders): channel id, channel type, data, repeated. A
channel id with its type means the same on all the models below, so their structure recognises them.

* WS302: one channel of sound. Only A-weighted levels are taken; LAeq is `sound_laeq`, the maximum `sound_lamax` where
  its time weighting is F, since slow and impulse maxima are other quantities. The level of the moment (LAF) is neither.
* VS132, VS133, VS135: period in/out of up to four lines are `people_in`, `people_out` and together `people_flow`; lines
  of one device are added up, since they are one site. Counts of regions, added up, are `people_present`.
* VS121: people of all regions are `people_present` (else the regions added up), people passing as above. What it kept
  while it was offline carries its own time.
* Totals since the last reset are no flow and are not read; nor are dwell times, and never which of them were children.

The intervals are set in the device and stand in no frame: 600 s, as delivered, unless `decoder` says otherwise after
a slash ("milesight/900", "paxcounter-plain/120"). A frame is read whole or refused whole: behind a byte that is not
understood everything may be something else, and a decoder that guesses invents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sensors.dialects.parsing import shown
from sensors.errors import DecodeError

SETTING = "'decoder' of the device's [[dialects]] in city.toml"
_MILESIGHT_PERIOD_S = 600.0
_PAXCOUNTER_CYCLE_S = 60.0
_LONGEST_S = 7 * 86_400.0
_PAX_PORT = 1


class Value(NamedTuple):
    """One value of a frame, in our quantities; `time_ms` is the device's own time where the frame carries one."""

    quantity: str
    value: float
    duration_s: float = 0.0
    time_ms: int | None = None


class Refused(NamedTuple):
    """One value that was understood and is not what any of our quantities means."""

    reason: str


Found = list[Value | Refused]


def read_frame(decoder: str, data: bytes, port: int, decoded: object = None) -> Found:
    """What a frame says; DecodeError when nothing of it can be read, or when nobody says how.

    Parameters
    ----------
    decoder : str
        A name of DECODERS, with the device's interval in seconds after a slash where it is not the usual; or ''.
    data : bytes
        The frame's payload.
    port : int
        Its port; networks leave a zero out.
    decoded : object
        What the network's own formatter made of it, by which the byte order of a Paxcounter can be told.
    """
    if not data:
        raise DecodeError("the frame is empty, so it holds no reading")
    name, _, seconds = decoder.partition("/")
    if not name:
        name = _recognised(data, port, decoded)
    if name not in DECODERS:
        raise DecodeError(f"decoder {shown(name)} is not known; {SETTING} takes {_names()}")
    period_s = _period(decoder, seconds, _PAXCOUNTER_CYCLE_S if name.startswith("pax") else _MILESIGHT_PERIOD_S)
    return DECODERS[name](data, port, period_s)


def _recognised(data: bytes, port: int, decoded: object) -> str:
    """The decoder that the bytes, or what the network made of them, allow alone; DecodeError names the setting."""
    if isinstance(decoded, Mapping) and ("pax" in decoded or "wifi" in decoded):
        fitting = [name for name in ("paxcounter-plain", "paxcounter-packed") if _agrees(name, data, port, decoded)]
        if len(fitting) == 1 or (fitting and _both_alike(data, port)):
            return fitting[0]
        said = "both byte orders fit it" if fitting else "neither byte order fits it"
        raise DecodeError(
            f"a Paxcounter does not say its byte order, and {said}; {SETTING} must name one of {_names()}"
        )
    try:
        _milesight_channels(data)
    except DecodeError as error:
        raise DecodeError(f"the frame does not say how it is read ({error}); {SETTING} takes {_names()}") from None
    return "milesight"


def _period(decoder: str, seconds: str, usual: float) -> float:
    if "/" not in decoder:
        return usual
    if not seconds.isascii() or not seconds.isdigit() or not 0 < int(seconds[:9]) <= _LONGEST_S or len(seconds) > 9:
        raise DecodeError(f"decoder {shown(decoder)} must end with whole seconds, up to seven days, behind the slash")
    return float(seconds)


def _names() -> str:
    return ", ".join(f"'{name}'" for name in DECODERS)


# --- Paxcounter


def _agrees(name: str, data: bytes, port: int, decoded: Mapping[object, object]) -> bool:
    try:
        counts = _pax_counts(data, port, "big" if name.endswith("plain") else "little")
    except DecodeError:
        return False
    names = ("wifi", "ble")[: len(counts)]
    said = [decoded.get(one) for one in names]
    if any(isinstance(one, int | float) for one in said):
        return all(one == count for one, count in zip(said, counts, strict=True) if one is not None)
    return decoded.get("pax") == sum(counts)


def _both_alike(data: bytes, port: int) -> bool:
    return _pax_counts(data, port, "big") == _pax_counts(data, port, "little")


def _pax_counts(data: bytes, port: int, order: str) -> list[int]:
    """Wi-Fi and Bluetooth devices; the second is left out where Bluetooth is not scanned."""
    if port != _PAX_PORT:
        raise DecodeError(f"port {port} of a Paxcounter holds no counts; port {_PAX_PORT} does")
    # Length of the frame = (offset of the counts, how many). plain appends a position of 13 bytes; packed does as
    # well, or puts a short one of 8 bytes in front (openSenseMap), or appends two particle values.
    shapes = {2: (0, 1), 4: (0, 2), 15: (0, 1), 17: (0, 2)}
    if order == "little":
        shapes |= {8: (0, 2), 10: (8, 1), 12: (8, 2)}
    if len(data) not in shapes:
        lengths = ", ".join(str(length) for length in sorted(shapes))
        raise DecodeError(f"the frame has {len(data)} bytes; a Paxcounter sends {lengths}")
    offset, count = shapes[len(data)]
    at = range(offset, offset + 2 * count, 2)
    return [int.from_bytes(data[i : i + 2], "big" if order == "big" else "little") for i in at]


def _paxcounter_plain(data: bytes, port: int, period_s: float) -> Found:
    return [Value("devices_seen", float(sum(_pax_counts(data, port, "big"))), period_s)]


def _paxcounter_packed(data: bytes, port: int, period_s: float) -> Found:
    return [Value("devices_seen", float(sum(_pax_counts(data, port, "little"))), period_s)]


# --- Milesight


class _Channel(NamedTuple):
    id: int
    type: int
    data: bytes
    offset: int  # of the channel id in the frame


_WS302 = "ws302"
_VS121 = "vs121"
_VS132 = "vs132"
_VS13X = "vs13x"
_ALL = frozenset((_WS302, _VS121, _VS132, _VS13X))

# (channel id, type) = (bytes of data, the models that send it)
_LENGTHS: dict[tuple[int, int], tuple[int, frozenset[str]]] = {
    (0xFF, 0x01): (1, _ALL),  # protocol version
    (0xFF, 0x08): (6, frozenset((_VS121,))),  # serial number
    (0xFF, 0x09): (2, _ALL),  # hardware version
    (0xFF, 0x0A): (2, frozenset((_WS302,))),  # firmware version
    (0xFF, 0x0B): (1, frozenset((_WS302,))),  # device status
    (0xFF, 0x0F): (1, frozenset((_WS302,))),  # LoRaWAN class
    (0xFF, 0x16): (8, _ALL - {_VS121}),  # serial number
    (0xFF, 0x1F): (4, _ALL - {_WS302}),  # firmware version
    (0xFF, 0xFE): (1, frozenset((_WS302,))),  # reset
    (0xFF, 0xFF): (2, frozenset((_WS302,))),  # TSL version
    (0x01, 0x75): (1, frozenset((_WS302,))),  # battery, %
    (0x05, 0x5B): (7, frozenset((_WS302,))),  # sound: weighting, L, Leq, Lmax
    (0x04, 0xC9): (4, frozenset((_VS121,))),  # people of all regions, number of regions, occupied regions
    (0x05, 0xCC): (4, _ALL - {_WS302}),  # people in, out; period of line 1
    (0x06, 0xCD): (1, frozenset((_VS121,))),  # most people at once
    (0x07, 0xD5): (8, frozenset((_VS121,))),  # people in regions 1-8
    (0x08, 0xD5): (8, frozenset((_VS121,))),  # people in regions 9-16
    (0x0D, 0xCC): (4, frozenset((_VS121,))),  # totals
    (0x0E, 0xE4): (5, frozenset((_VS121,))),  # dwell time
    (0x0F, 0x85): (4, frozenset((_VS121,))),  # time of the device, s since 1970
    (0x10, 0xF7): (4, frozenset((_VS121,))),  # line in, out
    (0x0F, 0xE3): (4, frozenset((_VS13X,))),  # people in regions 1-4
    (0x10, 0xE4): (5, frozenset((_VS13X,))),  # dwell time
    (0x1D, 0xE3): (4, frozenset((_VS13X,))),  # children in regions
    (0x1E, 0xE4): (5, frozenset((_VS13X,))),  # dwell time of children
    (0x50, 0xFC): (3, frozenset((_VS13X,))),  # occlusion alarm
    **{(channel, 0xDA): (8, frozenset((_VS121,))) for channel in range(0x09, 0x0D)},  # flows from side to side
    **{(channel, 0xCC): (4, frozenset((_VS13X,))) for channel in (0x08, 0x0B, 0x0E)},  # period of lines 2-4
    **{(channel, 0xD2): (4, frozenset((_VS13X, _VS132))) for channel in (0x03, 0x04)},  # totals of line 1
    **{(c, 0xD2): (4, frozenset((_VS13X,))) for c in (0x06, 0x07, 0x09, 0x0A, 0x0C, 0x0D)},  # totals of lines 2-4
    **{(c, 0xD2): (4, frozenset((_VS13X,))) for c in (0x11, 0x12, 0x14, 0x15, 0x17, 0x18, 0x1A, 0x1B)},  # of children
    **{(c, 0xCC): (4, frozenset((_VS13X,))) for c in (0x13, 0x16, 0x19, 0x1C)},  # period of children
}
# Answers to a downlink, on channel 0xFE or 0xFF: type = bytes. They say how the device is set and measure nothing.
_ANSWERS = {0x03: 2, 0x04: 1, 0x10: 1, 0x11: 4, 0x17: 2, 0x1D: 2, 0x2D: 1, 0x35: 8, 0x3B: 1, 0x40: 1, 0x42: 1, 0x43: 1}
_ANSWERS |= {0x44: 1, 0x45: 1, 0x46: 3, 0x48: 1, 0x50: 1, 0x51: 1, 0x84: 1}
# The same of VS121 on channel 0xF9, and on 0xF8 with a result byte behind.
_MORE_ANSWERS = {0x10: 1, 0x11: 1, 0x3D: 1, 0x85: 2, 0x86: 1, 0x87: 1, 0x88: 1, 0x8B: 1, 0x8C: 1, 0x8D: 4, 0x8E: 4}
_MORE_ANSWERS |= {0x90: 6, 0x91: 5, 0x92: 3, 0x93: 1, 0x94: 1, 0x95: 6, 0x96: 3, 0x97: 2, 0x98: 1, 0x99: 7}
_HISTORY = (0x20, 0xCE)  # VS121: time (4 bytes), kind (1 byte), data
_HISTORY_LENGTHS = {0x01: 4, 0x02: 4, 0x03: 1, 0x10: 4, 0x11: 5, 0x12: 4}
_HISTORY_LENGTHS |= dict.fromkeys((*range(0x04, 0x10),), 4)
_LINES = frozenset(((0x05, 0xCC), (0x08, 0xCC), (0x0B, 0xCC), (0x0E, 0xCC)))
_REGIONS = frozenset(((0x07, 0xD5), (0x08, 0xD5), (0x0F, 0xE3)))
_WEIGHTINGS = {0: "Z", 1: "A", 2: "C"}
_TIME_WEIGHTINGS = {0: "I", 1: "F", 2: "S"}


def _milesight_channels(data: bytes, model: str = "") -> list[_Channel]:
    """The frame in channels; DecodeError with the offset of the first byte that is not understood."""
    channels: list[_Channel] = []
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise DecodeError(f"byte {at} begins a channel that is cut off")
        key = (data[at], data[at + 1])
        length = _length(key, data, at, model)
        if at + 2 + length > len(data):
            left = len(data) - at - 2
            raise DecodeError(
                f"channel {key[0]:02x} {key[1]:02x} at byte {at} needs {length} bytes and {left} are left"
            )
        channels.append(_Channel(*key, data[at + 2 : at + 2 + length], at))
        at += 2 + length
    return channels


def _length(key: tuple[int, int], data: bytes, at: int, model: str) -> int:
    known = _LENGTHS.get(key)
    if known is not None and (not model or model in known[1]):
        return known[0]
    channel, kind = key
    if key == _HISTORY and model in ("", _VS121):
        if at + 7 > len(data):
            raise DecodeError(f"channel 20 ce at byte {at} is cut off")
        if data[at + 6] in _HISTORY_LENGTHS:
            return 5 + _HISTORY_LENGTHS[data[at + 6]]
        raise DecodeError(f"channel 20 ce at byte {at} holds an unknown kind {data[at + 6]:02x}")
    if channel in (0xFE, 0xFF) and kind in _ANSWERS:
        return _ANSWERS[kind]
    if channel in (0xF8, 0xF9) and kind in _MORE_ANSWERS and model in ("", _VS121):
        return _MORE_ANSWERS[kind] + (channel == 0xF8)
    raise DecodeError(f"channel {channel:02x} {kind:02x} at byte {at} is not known")


def _milesight(model: str) -> Callable[[bytes, int, float], Found]:
    def read(data: bytes, _port: int, period_s: float) -> Found:
        return _values(_milesight_channels(data, model), period_s)

    return read


def _values(channels: list[_Channel], period_s: float) -> Found:
    seen: dict[tuple[int, int], _Channel] = {}
    found: Found = []
    for channel in channels:
        key = channel[:2]
        if key == _HISTORY:
            found += _kept(channel, period_s)
        elif (
            key in _LENGTHS and key[0] != 0xFF and key in seen and key not in ((0x0E, 0xE4), (0x10, 0xE4), (0x1E, 0xE4))
        ):
            raise DecodeError(f"channel {key[0]:02x} {key[1]:02x} stands twice, again at byte {channel.offset}")
        else:
            seen[key] = channel
    own = seen.get((0x0F, 0x85))
    time_ms = None if own is None else int.from_bytes(own.data, "little") * 1000
    sound = seen.get((0x05, 0x5B))
    if sound is not None:
        found += _sound(sound.data, period_s)
    lines = [seen[key] for key in sorted(_LINES & seen.keys())]
    if not lines and (0x10, 0xF7) in seen:
        lines = [seen[0x10, 0xF7]]
    if lines:
        found += _passed([channel.data for channel in lines], period_s, time_ms)
    everybody = seen.get((0x04, 0xC9))
    regions = [seen[key].data for key in sorted(_REGIONS & seen.keys())]
    if everybody is not None:
        found.append(Value("people_present", float(everybody.data[0]), 0.0, time_ms))
    elif regions:
        found.append(Value("people_present", float(sum(map(sum, regions))), 0.0, time_ms))
    if not found:
        said = ", ".join(sorted({f"{channel.id:02x} {channel.type:02x}" for channel in channels}))
        raise DecodeError(f"the frame holds nothing that Noctule measures (channels {said})")
    return found


def _sound(data: bytes, period_s: float) -> Found:
    weighting = _WEIGHTINGS.get(data[0] & 0x03, "?")
    time_weighting = _TIME_WEIGHTINGS.get(data[0] >> 2 & 0x03, "?")
    if weighting != "A":
        return [Refused(f"levels are {weighting}-weighted; only A-weighted levels are compared ")]
    level, maximum = (int.from_bytes(data[at : at + 2], "little") / 10 for at in (3, 5))
    found: Found = [Value("sound_laeq", level, period_s)]
    if time_weighting == "F":
        found.append(Value("sound_lamax", maximum, period_s))
    else:
        found.append(Refused(f"the maximum has time weighting {time_weighting}; sound_lamax is LAFmax"))
    return found


def _passed(lines: list[bytes], period_s: float, time_ms: int | None) -> Found:
    entered = sum(int.from_bytes(data[:2], "little") for data in lines)
    left = sum(int.from_bytes(data[2:4], "little") for data in lines)
    return [
        Value("people_in", float(entered), period_s, time_ms),
        Value("people_out", float(left), period_s, time_ms),
        Value("people_flow", float(entered + left), period_s, time_ms),
    ]


def _kept(channel: _Channel, period_s: float) -> Found:
    """What a VS121 kept with its time; the regions of one time come in several entries and are left out."""
    time_ms = int.from_bytes(channel.data[:4], "little") * 1000
    kind, data = channel.data[4], channel.data[5:]
    if kind == 0x01:
        return [Value("people_present", float(data[0]), 0.0, time_ms)]
    if kind in (0x02, 0x12):
        return _passed([data], period_s, time_ms)
    return []


DECODERS: dict[str, Callable[[bytes, int, float], Found]] = {
    "paxcounter-plain": _paxcounter_plain,
    "paxcounter-packed": _paxcounter_packed,
    "milesight": _milesight(""),
    "milesight-ws302": _milesight(_WS302),
    "milesight-vs121": _milesight(_VS121),
    "milesight-vs132": _milesight(_VS132),
    "milesight-vs133": _milesight(_VS13X),
    "milesight-vs135": _milesight(_VS13X),
}
