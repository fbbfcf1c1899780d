"""Takes what looks like personal data or a secret out of a text. Pure; patterns, not understanding.

It finds what has a form: names, addresses and illnesses have none, so a redacted text is still to be handled with care.
"""

from __future__ import annotations

import re

__all__ = ["redact"]


def redact(text: str) -> str:
    """Replace e-mail addresses, keys and tokens, private keys, IBANs, card and phone numbers by their kind in brackets."""
    for kind, pattern in _PATTERNS:
        text = pattern.sub(f"[{kind}]", text)
    text = _IBAN.sub(lambda found: "[iban]" if _is_iban(found[0]) else found[0], text)
    text = _CARD.sub(lambda found: "[card]" if _is_card(found[0]) else found[0], text)
    return _PHONE.sub(lambda found: "[phone]" if _is_phone(found[0]) else found[0], text)


_PATTERNS = (
    ("private-key", re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:[^-]|-(?!----END))*(?:-----END [A-Z ]{0,40}-----)?")),
    ("url-password", re.compile(r"(?<=://)[^\s/@:]{1,256}:[^\s/@]{1,256}(?=@)")),
    ("email", re.compile(r"[\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")),
    ("jwt", re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?")),
    ("key", re.compile(r"(?i)\bbearer\s+[\w.~+/=-]{8,}")),
    ("key", re.compile(r"\b(?:pk|rk|key|hf|npm|pypi|SG|p402)[-_.](?=[\w.-]{0,200}\d)[\w.-]{12,}")),
    ("key", re.compile(r"\b(?:(?:sk|gh[pousr]|github_pat|glpat|xox[abeoprs])[-_.]|AIza|ya29|AKIA|ASIA)[\w.-]{12,}")),
    # Credentials of any scheme; and such of the scheme Basic, which are base64, without the header's name before them.
    ("key", re.compile(r"(?i)\bauthorization['\"\\]{0,3}\s{0,3}[:=]\s{0,3}['\"\\]{0,3}[\w-]{1,32}\s{1,3}[^\s'\",;\\]{6,}")),
    ("key", re.compile(r"\b[Bb]asic\s{1,3}(?=[A-Za-z+/]{1,200}[A-Z\d=])(?:[A-Za-z\d+/]{4}){2,}(?:[A-Za-z\d+/]{2}==|[A-Za-z\d+/]{3}=)?(?![\w+/=])")),
    (
        "secret",
        re.compile(  # names of settings have more in front: DB_PASSWORD, clientSecret
            r"(?i)(?:(?:api|access|secret|private|signing|encryption)[ _-]?key|secret|token|passw(?:or)?d|(?<=_)pass|passphrase|pwd)\b"
            r"(?:['\"\\]{0,3})\s{0,3}(?:[:=]|\bis\b)\s{0,3}['\"\\]{0,3}[^\s'\",;\\]{6,}"
        ),
    ),
    # Long, and with letters of both cases and digits: made by a machine.
    ("token", re.compile(r"\b(?=[\w+/-]{0,200}[A-Z])(?=[\w+/-]{0,200}[a-z])(?=[\w+/-]{0,200}\d)[\w+/-]{32,}={0,2}")),
    ("token", re.compile(r"\b(?:0x)?[0-9a-fA-F]{32,}\b")),
)  # fmt: skip
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_CARD = re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?![\d])")
_PHONE = re.compile(r"(?<![\w.])(?!\d{4}-\d\d-\d\d\b)(?:\+|00)?\(?\d(?:[ ()./-]{0,2}\d){6,14}(?!\w)")
_SHORTEST_PHONE, _PLAIN_PHONE, _LONGEST_PHONE = 7, 10, 15


def _is_iban(text: str) -> bool:
    """Check the two check digits (ISO 13616)."""
    plain = text.replace(" ", "")
    return int("".join(str(int(letter, 36)) for letter in plain[4:] + plain[:4])) % 97 == 1


def _is_card(text: str) -> bool:
    """Check the last digit (Luhn, ISO/IEC 7812)."""
    digits = [int(letter) for letter in reversed(text) if letter.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _is_phone(text: str) -> bool:
    """Numbers are common, so ask for a plus, for separators, or for as many digits as a number with its area has."""
    digits = sum(letter.isdigit() for letter in text)
    if not _SHORTEST_PHONE <= digits <= _LONGEST_PHONE:
        return False
    return text.startswith(("+", "00", "(", "0")) or (digits >= _PLAIN_PHONE and not text.isdigit())
