"""Frames of Milesight sensors: channel id, channel type, data, repeated.

Source: README.md and *_Decoder.js of Milesight-IoT/SensorDecoders. A channel id with its type means the same on all
the models below, so their structure recognises them.

* WS302: one channel of sound. Only A-weighted levels are taken; LAeq is `sound_laeq`, the maximum `sound_lamax` where
  its time weighting is F, since slow and impulse maxima are other quantities. The level of the moment (LAF) is neither.
* VS132, VS133, VS135: period in/out of up to four lines are `people_in`, `people_out` and together `people_flow`; lines
  of one device are added up, since they are one site. Counts of regions, added up, are `people_present`.
* VS121: people of all regions are `people_present` (else the regions added up), people passing as above. What it kept
  while it was offline carries its own time.
* Totals since the last reset are no flow and are not read; nor are dwell times, and never which of them were children.

A frame is read whole or refused whole: behind a byte that is not understood everything may be something else, and a
decoder that guesses invents.
"""

from __future__ import annotations

from typing import NamedTuple

from sensors.dialects.frame_values import Found, FrameReader, Refused, Value
from sensors.errors import DecodeError

PERIOD_S = 600.0  # as delivered; the interval is set in the device and stands in no frame
_WS302 = "ws302"
_VS121 = "vs121"
_VS132 = "vs132"
_VS13X = "vs13x"
_ALL = frozenset((_WS302, _VS121, _VS132, _VS13X))


def reader(model: str = "") -> FrameReader:
    """A reader of a model's frames ('ws302', 'vs121', 'vs132', 'vs13x'); of all of them when none is named.

    >>> reader("ws302")(bytes.fromhex("017564055B053F02DA016A02"), 85, 600.0)[0].value
    47.4
    """

    def read(data: bytes, _port: int, period_s: float) -> Found:
        return _values(_channels(data, model), period_s)

    return read


def check_channels(data: bytes) -> None:
    """DecodeError unless all of a frame is channels that one of the models sends."""
    _channels(data, "")


class _Channel(NamedTuple):
    id: int
    type: int
    data: bytes
    offset: int  # of the channel id in the frame


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


def _channels(data: bytes, model: str) -> list[_Channel]:
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
        return [Refused(f"levels are {weighting}-weighted; only A-weighted levels are compared")]
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
