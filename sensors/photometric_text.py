"""The text of a photometric file, and the numbers in it, as strangers wrote them.

Nothing is allocated from what a file declares: bytes are bounded, and numbers are counted before they are read.
"""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sensors.errors import LuminaireError

Floats = npt.NDArray[np.float64]

MOST_BYTES = 3_000_000  # planes and gammas each degree of the whole sphere are 0.5 MB; half of a degree 2 MB
MOST_NUMBERS = 300_000  # 721 planes of 361 gammas
_LONGEST = 40  # characters of a number
_LARGEST = 1e9
_CHARACTERS = b"0123456789+-.eE"
_SPACES = b" \t\r\n\f\v"
_CLEAN = bytes(32 if byte in b"\f\v" else 63 if (byte < 32 and byte not in b"\n\r\t") or byte == 127 else byte
               for byte in range(256))  # fmt: skip  # no control character of theirs reaches a terminal of ours
_IS_SPACE = np.zeros(256, bool)
_IS_SPACE[list(_SPACES)] = True


def read_bytes(path: Path) -> bytes:
    """The bytes of a file of a plausible size; LuminaireError where it is none."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise LuminaireError(f"{path} is no file; name an LM-63 (.ies) or EULUMDAT (.ldt) file")
        if status.st_size > MOST_BYTES:
            raise LuminaireError(
                f"{path} has {status.st_size / 1e6:,.1f} MB; photometric files have less than {MOST_BYTES / 1e6:g} MB, "
                "is it another file?"
            )
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        raise LuminaireError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from error


def text_of(raw: bytes) -> str:
    """Text with one kind of line end; UTF-8 with or without its mark, else cp1252, as most such files are."""
    if not raw.strip():
        raise LuminaireError("the file is empty")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise LuminaireError("the file is in UTF-16; save it as UTF-8 or Latin-1")
    raw = raw.rstrip(b"\x1a\x00")  # the end-of-file mark of DOS, and the rest of its block
    if b"\0" in raw:
        raise LuminaireError("the file is binary; photometric files (.ies, .ldt) are text")
    raw = raw.translate(_CLEAN)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def count_numbers(data: bytes) -> int:
    """How many words stand in these bytes; LuminaireError for one that no number is as long as."""
    if not data:
        return 0
    space = _IS_SPACE[np.frombuffer(data, np.uint8)]
    edges = np.flatnonzero(np.diff(np.concatenate([[True], space, [True]]).astype(np.int8)))
    if edges.size and int((edges[1::2] - edges[::2]).max()) > _LONGEST:
        raise LuminaireError(f"a word of more than {_LONGEST} characters stands among the numbers")
    return edges.size // 2


def digits_only(text: str) -> bytes:
    """Text that may hold numbers only, as bytes; LuminaireError names the first word that holds anything else."""
    data = text.encode("ascii", "replace")
    odd = data.translate(None, _CHARACTERS + _SPACES)
    if odd:
        at = data.find(odd[:1])
        begin = max(data.rfind(space, 0, at) for space in (b" ", b"\n", b"\t")) + 1
        around = text[max(begin, at - _LONGEST) : at + _LONGEST].split()
        raise LuminaireError(f"{shown(around[0] if around else text[at])} stands where a number should")
    return data


def numbers(words: list[bytes]) -> list[float]:
    """Words as numbers; LuminaireError names the first that is none, or none that light has."""
    try:
        values = list(map(float, words))
    except ValueError:
        word = next(word for word in words if not _is_number(word))
        raise LuminaireError(f"'{word[:20].decode()}' is no number") from None
    if values and not (max(values) <= _LARGEST and min(values) >= -_LARGEST):
        worst = next(word for word, value in zip(words, values, strict=True) if not abs(value) <= _LARGEST)
        raise LuminaireError(f"'{worst[:20].decode()}' is beyond anything that is measured")
    return values


def shown(word: str) -> str:
    """A stranger's word for a message: quoted, short, nothing in it that does not print."""
    return "'" + "".join(letter if letter.isprintable() else "?" for letter in word[:20]) + "'"


def whole(value: float, what: str, least: int, most: int) -> int:
    """A count; LuminaireError where it is none or not within its bounds."""
    if not float(value).is_integer() or not least <= value <= most:
        raise LuminaireError(f"{what} is {value:g}; expected a whole number from {least:,} to {most:,}")
    return int(value)


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
