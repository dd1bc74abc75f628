"""The bytes of a LoRaWAN frame, read by the decoder that a city names, or that the bytes themselves name.

The intervals are set in the device and stand in no frame: those as delivered hold, unless `decoder` says otherwise
after a slash ("milesight/900", "paxcounter-plain/120").
"""

from __future__ import annotations

from sensors.dialects import milesight, paxcounter
from sensors.dialects.frame_values import Found, FrameReader
from sensors.dialects.parsing import shown
from sensors.errors import DecodeError

_LONGEST_S = 7 * 86_400
_SETTING = "'decoder' of the device's [[dialects]] in city.toml"

# Name = reader and usual interval in seconds. One line a decoder.
_TABLE: dict[str, tuple[FrameReader, float]] = {
    "paxcounter-plain": (paxcounter.read_plain, paxcounter.CYCLE_S),
    "paxcounter-packed": (paxcounter.read_packed, paxcounter.CYCLE_S),
    "milesight": (milesight.reader(), milesight.PERIOD_S),
    "milesight-ws302": (milesight.reader("ws302"), milesight.PERIOD_S),
    "milesight-vs121": (milesight.reader("vs121"), milesight.PERIOD_S),
    "milesight-vs132": (milesight.reader("vs132"), milesight.PERIOD_S),
    "milesight-vs133": (milesight.reader("vs13x"), milesight.PERIOD_S),
    "milesight-vs135": (milesight.reader("vs13x"), milesight.PERIOD_S),
}
DECODERS: tuple[str, ...] = tuple(_TABLE)


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
    if problem := decoder_problem(decoder):
        raise DecodeError(problem)
    name, _, seconds = decoder.partition("/")
    read, usual_s = _TABLE[name or _recognised(data, port, decoded)]
    return read(data, port, float(seconds) if seconds else usual_s)


def decoder_problem(decoder: str) -> str:
    """What is wrong with a decoder as settings write it; '' when nothing is.

    >>> decoder_problem("milesight/900"), decoder_problem("")
    ('', '')
    """
    name, slash, seconds = decoder.partition("/")
    if decoder and name not in _TABLE:
        return f"decoder {shown(name)} is not known; expected one of {', '.join(DECODERS)}"
    if slash and not (seconds.isascii() and seconds.isdigit() and len(seconds) < 7 and 0 < int(seconds) <= _LONGEST_S):
        return f"decoder {shown(decoder)} must end with whole seconds, up to seven days, behind the slash"
    return ""


def _recognised(data: bytes, port: int, decoded: object) -> str:
    """The decoder that the bytes, or what the network made of them, allow alone; DecodeError names the setting."""
    try:
        if paxcounter.is_decoded(decoded):
            return f"paxcounter-{paxcounter.byte_order(data, port, decoded)}"
        milesight.check_channels(data)
    except DecodeError as error:
        names = ", ".join(DECODERS)
        raise DecodeError(f"the frame does not say how it is read ({error}); {_SETTING} takes {names}") from None
    return "milesight"
