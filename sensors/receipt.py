"""Receipt codes: sixteen letters and digits in fours with which a person erases an answer, without saying who they are.

A code is the answer's stored id, 64 random-looking bits, in thirteen signs of Crockford's base 32 (no I, L, O or U),
and three more that check the rest: a slip of the pen is told as one and erases nobody else's answer.
"""

from __future__ import annotations

import hashlib
import re

from sensors.errors import AnswerError

_SIGNS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LOOK_ALIKE = str.maketrans("ILO", "110")
_ID = re.compile(r"[0-9a-f]{16}")
_CODE_SIGNS, _CHECK_SIGNS = 13, 3


def receipt_of(response_id: str) -> str:
    """The receipt of a stored answer.

    response_id : 16 hexadecimal digits

    >>> receipt_of("0123456789abcdef")
    '028T-5CY4-TQKF-FTC7'
    """
    if not _ID.fullmatch(response_id):
        raise AnswerError(f"'{response_id[:40]}' is no id of a stored answer, which has 16 hexadecimal digits")
    signs = _in_signs(int(response_id, 16), _CODE_SIGNS) + _check(response_id)
    return "-".join(signs[at : at + 4] for at in range(0, len(signs), 4))


def response_of(code: str) -> str:
    """The stored id behind a receipt as somebody typed it; AnswerError where it cannot be one.

    >>> response_of(" o28t 5cy4 tqkf ftc7 ")
    '0123456789abcdef'
    """
    signs = re.sub(r"[\s\-\u2010-\u2014]", "", code[:80]).upper().translate(_LOOK_ALIKE)
    if len(signs) != _CODE_SIGNS + _CHECK_SIGNS or set(signs) - set(_SIGNS):
        raise AnswerError("a receipt has sixteen letters and digits, like 028T-5CY4-TQKF-FTC7")
    value = 0
    for sign in signs[:_CODE_SIGNS]:
        value = 32 * value + _SIGNS.index(sign)
    response_id = f"{value:016x}"
    if len(response_id) != 16 or _check(response_id) != signs[_CODE_SIGNS:]:
        raise AnswerError("this receipt holds a slip: one of its letters or digits is not as it was given out")
    return response_id


def _check(response_id: str) -> str:
    digest = hashlib.blake2b(response_id.encode(), digest_size=2, person=b"receipt").digest()
    return _in_signs(int.from_bytes(digest, "big") >> 1, _CHECK_SIGNS)


def _in_signs(value: int, n: int) -> str:
    return "".join(_SIGNS[value >> 5 * at & 31] for at in reversed(range(n)))
