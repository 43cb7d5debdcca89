"""Rules about personal data, keys and addresses. Numbers are believed only where their check digits are right."""

from __future__ import annotations

import re

import numpy as np

from instdata.steps.quality.text import Text, among, has
from instdata.util.secrets import CREDENTIAL

E_MAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@([A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,4}\.[A-Za-z]{2,10})")
INVENTED = re.compile(
    r"(?i)(^|\.)(example|test|domain|email|mail|company|website|yourdomain|sample|abc|xyz|acme|school|business|university|organization|store|shop|firm|foo|bar|localhost|invalid|mycompany|yourcompany|companyname|xxx+|123)\."
)


def email(t: Text) -> np.ndarray:
    def real(prompt: str, response: str) -> bool:
        return any(not INVENTED.search(m[1]) and not re.match(r"(?i)(your|name|user|example|john|jane|info|support|contact|help|email|abc|xyz|sales|first|no-?reply|customer|me@|xxx|test|hr@|admin)", m[0])
                   for text in (prompt, response) for m in E_MAIL.finditer(text))  # fmt: skip

    pattern = r"[A-Za-z0-9]@[A-Za-z0-9-]+\.[A-Za-z]"
    return among(has(t.prompt, pattern) | has(t.response, pattern), real, t.prompt, t.response)


# A mobile number of mainland China, or a North American or international number written as one.
PHONE = re.compile(
    r"(?<![\d.\w-])(?:(?:\+?86[- ]?)?(1[3-9]\d)[- ]?(\d{4})[- ]?(\d{4})|(?:\+?1[-. ])?\(?([2-9]\d{2})\)?[-. ](\d{3})[-. ](\d{4})|\+(\d{1,3})[- ](\d{2,4})[- ](\d{3,4})[- ]?(\d{3,4}))(?![\d\w-])"
)


def phone(t: Text) -> np.ndarray:
    def real(prompt: str, response: str) -> bool:
        for text in (prompt, response):
            for m in PHONE.finditer(text):
                digits = re.sub(r"\D", "", m[0])
                invented = (
                    "555" in digits
                    or len(set(digits)) <= 4
                    or re.search(r"0123|1234|2345|3456|4567|5678|6789|0000|1111|9999|8888|6666", digits)
                )
                if not invented:
                    return True
        return False

    pattern = r"1[3-9]\d[- ]?\d{4}[- ]?\d{4}|\d{3}\)?[-. ]\d{3}[-. ]\d{4}|\+\d{1,3}[- ]\d{2,4}[- ]\d{3}"
    return among(has(t.prompt, pattern) | has(t.response, pattern), real, t.prompt, t.response)


ID_NUMBER = re.compile(
    r"(?<![\dA-Za-z])([1-8]\d{5}(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx])(?![\dA-Za-z])"
)


def id_number(t: Text) -> np.ndarray:
    pattern = r"\d{6}(18|19|20)\d{2}[01]\d[0-3]\d{4}[\dXx]"

    def real(*texts: str) -> bool:
        return any(_id_checks(m[1]) for text in texts for m in ID_NUMBER.finditer(text))

    return among(has(t.prompt, pattern) | has(t.response, pattern), real, t.prompt, t.response)


def _id_checks(number: str) -> bool:
    """GB 11643: the last character is the weighted sum of the others mod 11."""
    total = sum(
        int(d) * w for d, w in zip(number[:17], (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2), strict=True)
    )
    return "10X98765432"[total % 11] == number[17].upper()


CARD = re.compile(
    r"(?<![\d.-])((?:4\d{3}|5[1-5]\d{2}|2[2-7]\d{2}|6(?:011|2\d{2}|4[4-9]\d|5\d{2})|3[47]\d{2}|35\d{2})[- ]?\d{4,6}[- ]?\d{4,5}(?:[- ]?\d{1,7})?)(?![\d-])"
)
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
    def real(*texts: str) -> bool:
        numbers = (re.sub(r"\D", "", m[1]) for text in texts for m in CARD.finditer(text))
        return any(13 <= len(n) <= 19 and len(set(n)) > 4 and n not in WELL_KNOWN and _luhn(n) for n in numbers)

    pattern = r"[2-6]\d{3}[- ]?\d{4,6}[- ]?\d{4,5}"
    return among(has(t.prompt, pattern) | has(t.response, pattern), real, t.prompt, t.response)


def _luhn(number: str) -> bool:
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(number))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def secret(t: Text) -> np.ndarray:
    return has(t.prompt, CREDENTIAL) | has(t.response, CREDENTIAL)


def url(t: Text) -> np.ndarray:
    link = r"(?i)\bhttps?://[\w-]+(\.[\w-]+)+|\bwww\.[\w-]+\.[a-z]{2,}"
    invented = r"(?i)\b(https?://|www\.)([\w-]+\.)*(example|test|yourwebsite|yourdomain|website|domain|mysite|yoursite|mywebsite|localhost)\."
    return has(t.response, link) & ~has(t.response, invented) & ~t.code
