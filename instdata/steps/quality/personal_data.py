"""Rules about personal data, keys and addresses. Numbers are believed only where their check digits are right.

They look at everything that a model reads or learns to write: prompt, answer and reasoning.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from instdata.steps.quality.rule_text import Text, among, has
from instdata.util.secrets import CREDENTIAL

Place = tuple[int, int] | None  # where something stands in a text, in characters

# What may be personal, at a first look.
SOME_EMAIL = r"[A-Za-z0-9]@[A-Za-z0-9-]+\.[A-Za-z]"
SOME_PHONE = r"1[3-9]\d[- ]?\d{4}[- ]?\d{4}|\d{3}\)?[-. ]\d{3}[-. ]\d{4}|\+\d{1,3}[- ]\d{2,4}[- ]\d{3}"
SOME_ID = r"\d{6}(18|19|20)\d{2}[01]\d[0-3]\d{4}[\dXx]"
SOME_CARD = r"[2-6]\d{3}[- ]?\d{4,6}[- ]?\d{4,5}"

E_MAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@([A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,4}\.[A-Za-z]{2,10})")
INVENTED_HOSTS = (
    "example test domain email mail company website yourdomain sample abc xyz acme school business university "
    "organization store shop firm foo bar localhost invalid mycompany yourcompany companyname xxx+ 123"
)
INVENTED = re.compile(rf"(?i)(?:^|\.)(?:{'|'.join(INVENTED_HOSTS.split())})\.")
INVENTED_NAMES = (
    "your name user example john jane info support contact help email abc xyz sales first no-?reply customer me@ xxx "
    "test hr@ admin"
)
INVENTED_NAME = re.compile(rf"(?i)(?:{'|'.join(INVENTED_NAMES.split())})")


def _in_any(t: Text, pattern: str, real: Callable[[str], Place]) -> np.ndarray:
    """Where a text of the row has the pattern and, looked at closely, the real thing."""
    found = np.zeros(len(t), bool)
    for view in t.learned:
        found |= among(t.has(view, pattern), real, getattr(t, view))
    return found


def email(t: Text) -> np.ndarray:
    return _in_any(t, SOME_EMAIL, real_email)


def real_email(text: str) -> Place:
    places = (m.span() for m in E_MAIL.finditer(text) if not INVENTED.search(m[1]) and not INVENTED_NAME.match(m[0]))
    return next(places, None)


# A mobile number of mainland China, or a North American or international number written as one.
PHONE = re.compile(
    r"(?<![\d.\w-])(?:(?:\+?86[- ]?)?(1[3-9]\d)[- ]?(\d{4})[- ]?(\d{4})|"
    r"(?:\+?1[-. ])?\(?([2-9]\d{2})\)?[-. ](\d{3})[-. ](\d{4})|\+(\d{1,3})[- ](\d{2,4})[- ](\d{3,4})[- ]?(\d{3,4}))(?![\d\w-])"  # noqa: E501
)
IN_ORDER = re.compile(r"0123|1234|2345|3456|4567|5678|6789|0000|1111|9999|8888|6666")


def phone(t: Text) -> np.ndarray:
    return _in_any(t, SOME_PHONE, real_phone)


def real_phone(text: str) -> Place:
    for m in PHONE.finditer(text):
        digits = re.sub(r"\D", "", m[0])
        if not ("555" in digits or len(set(digits)) <= 4 or IN_ORDER.search(digits)):
            return m.span()
    return None


ID_NUMBER = re.compile(
    r"(?<![\dA-Za-z])([1-8]\d{5}(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx])(?![\dA-Za-z])"
)


def id_number(t: Text) -> np.ndarray:
    return _in_any(t, SOME_ID, real_id)


def real_id(text: str) -> Place:
    return next((m.span() for m in ID_NUMBER.finditer(text) if _id_checks(m[1])), None)


def _id_checks(number: str) -> bool:
    """GB 11643: the last character is the weighted sum of the others mod 11."""
    total = sum(
        int(d) * w for d, w in zip(number[:17], (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2), strict=True)
    )
    return "10X98765432"[total % 11] == number[17].upper()


ISSUERS = r"4\d{3}|5[1-5]\d{2}|2[2-7]\d{2}|6(?:011|2\d{2}|4[4-9]\d|5\d{2})|3[47]\d{2}|35\d{2}"
CARD = re.compile(rf"(?<![\d.-])((?:{ISSUERS})[- ]?\d{{4,6}}[- ]?\d{{4,5}}(?:[- ]?\d{{1,7}})?)(?![\d-])")
WELL_KNOWN = (
    "4111111111111111",
    "4242424242424242",
    "5555555555554444",
    "378282246310005",
    "6011111111111117",
    "4012888888881881",
    "5105105105105100",
)


def card_number(t: Text) -> np.ndarray:
    return _in_any(t, SOME_CARD, real_card)


def real_card(text: str) -> Place:
    for m in CARD.finditer(text):
        n = re.sub(r"\D", "", m[1])
        if 13 <= len(n) <= 19 and len(set(n)) > 4 and n not in WELL_KNOWN and _luhn(n):
            return m.span()
    return None


def _luhn(number: str) -> bool:
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(number))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def secret(t: Text) -> np.ndarray:
    return t.anywhere(CREDENTIAL)


URL = r"(?i)\bhttps?://[\w-]+(?:\.[\w-]+)+|\bwww\.[\w-]+\.[a-z]{2,}"
INVENTED_SITES = "example|test|yourwebsite|yourdomain|website|domain|mysite|yoursite|mywebsite|localhost"


def url(t: Text) -> np.ndarray:
    invented = rf"(?i)\b(?:https?://|www\.)(?:[\w-]+\.)*(?:{INVENTED_SITES})\."
    return t.unless(t.has("response", URL) & ~t.code, lambda f: has(f.response, invented))


SOUGHT = (SOME_EMAIL, SOME_PHONE, SOME_ID, SOME_CARD, CREDENTIAL, URL)
