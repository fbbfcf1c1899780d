"""What an MPP server and its payer say to each other over HTTP, the "Payment" scheme (pure).

::

    POST /pay                              ──▶  402, WWW-Authenticate: Payment id="…", request="…", expires="…"
    POST /pay, Authorization: Payment …    ──▶  200, Payment-Receipt: …

The challenge says whom to pay how much of which token on which chain. It is data of somebody else: what differs from
what the payer means to pay is refused. The credential repeats the challenge word for word and names the transaction that paid.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from p402.receipts._base64 import encode_url
from p402.receipts.errors import Malformed

__all__ = ["MppChallenge", "MppReceipt", "MppTerms", "credential", "read_challenges", "read_receipt"]

_MOST_CHARACTERS = 16_384
_PARAMETER = re.compile(r'\s*([A-Za-z_][\w-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))\s*(,|$)')
_SCHEME = re.compile(r"(?:^|,)\s*Payment\s+(?=[A-Za-z_][\w-]*\s*=)", re.IGNORECASE)
_OTHER_SCHEME = re.compile(r",\s*[A-Za-z][\w-]*\s+[A-Za-z_][\w-]*\s*=")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_MAINNET = 4217  # the chain of a challenge that names none
_HEADERS = (None, "authorization", "payment-authorization")


@dataclass(frozen=True, slots=True, kw_only=True)
class MppTerms:
    """What the payer means to pay."""

    chain_id: int
    token: str
    """In lower case, like `payee`."""
    payee: str
    amount_micro_usd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MppChallenge:
    """What a server asks to be paid, in its own words."""

    id: str
    realm: str
    method: str
    intent: str
    request: str
    """JSON in base64url; shown back as it came."""
    expires: str | None = None
    digest: str | None = None
    opaque: str | None = None
    header: str | None = None
    """The header that takes the credential; None: ``Authorization``."""
    description: str | None = None

    @property
    def expires_at(self) -> int:
        """Seconds since 1970, rounded down; 0 if it does not say when, or in no known way."""
        try:
            moment = datetime.fromisoformat(self.expires or "")
            return int(moment.timestamp()) if moment.tzinfo is not None else 0
        except (ValueError, OverflowError):
            return 0

    def differs(self, terms: MppTerms) -> str | None:
        """Say in a sentence how it is not what the payer means to pay; None if it is exactly that."""
        if (self.method, self.intent) != ("tempo", "charge"):
            return f"It asks for {self.method[:40]}/{self.intent[:40]}, not for a Tempo charge."
        if not self.expires_at:
            return "It does not say until when it may be paid."
        if (self.header and self.header.lower()) not in _HEADERS:
            return "It wants the credential in a header that is for something else."
        request = _json(self.request)
        details = request.get("methodDetails")
        details = {} if details is None else details
        if not isinstance(details, dict):
            return "Its request has methodDetails that are no object."
        asked = {
            "chain": (details.get("chainId", _MAINNET), terms.chain_id),
            "token": (str(request.get("currency")).lower(), terms.token),
            "payee": (str(request.get("recipient")).lower(), terms.payee),
            "amount": (request.get("amount"), str(terms.amount_micro_usd)),
        }
        for name, (theirs, ours) in asked.items():
            if theirs != ours or isinstance(theirs, bool):
                return f"It asks for another {name} than was metered or configured: {theirs!a}, not {ours!a}."[:400]
        if details.get("splits"):
            return "It asks for a payment in parts, to several accounts."
        return None

    def to_json(self) -> str:
        """Write it for `from_json`."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class MppReceipt:
    """That a server took the payment, in its own words."""

    reference: str
    """The transaction, as the server names it."""
    timestamp: str
    raw: str
    """The header's value."""


def read_challenges(headers: Sequence[str]) -> list[MppChallenge]:
    """Read the challenges of the "Payment" scheme from all ``WWW-Authenticate`` headers of an answer.

    Raises:
        Malformed: if one of them cannot be read: then none is to be paid.
    """
    return [_challenge(part) for header in headers for part in _payment_parts(header)]


def credential(challenge: MppChallenge, tx_hash: str, source: str) -> tuple[str, str]:
    """Write the credential that shows a transaction: the name of the header that takes it, and its value."""
    echo = {name: value for name, value in asdict(challenge).items() if value is not None}
    shown = {"challenge": echo, "payload": {"type": "hash", "hash": tx_hash}, "source": source}
    text = json.dumps(shown, separators=(",", ":"), sort_keys=True)
    return challenge.header or "Authorization", "Payment " + encode_url(text.encode())


def read_receipt(header: str) -> MppReceipt:
    """Read a ``Payment-Receipt`` header.

    Raises:
        Malformed: if it is none, or speaks of no success.
    """
    found = _json(header.strip())
    reference, timestamp = found.get("reference"), found.get("timestamp")
    if found.get("status") != "success" or not isinstance(reference, str) or not isinstance(timestamp, str):
        raise Malformed("The payee's receipt does not say that it was paid.")
    return MppReceipt(reference=reference, timestamp=timestamp, raw=header.strip())


def _payment_parts(header: str) -> Iterator[str]:
    """Cut a header, which may have challenges of several schemes, into the parameters of each of ours."""
    if len(header) > _MOST_CHARACTERS:
        raise Malformed("The payee's challenge is longer than 16 KiB.")
    bare = _QUOTED.sub(lambda found: '"' + "x" * (len(found[0]) - 2) + '"', header)  # commas in texts separate nothing
    for found in _SCHEME.finditer(bare):
        after = _OTHER_SCHEME.search(bare, found.end())
        yield header[found.end() : after.start() if after else len(header)]


def _challenge(parameters: str) -> MppChallenge:
    found: dict[str, str] = {}
    place = 0
    while place < len(parameters):
        match = _PARAMETER.match(parameters, place)
        if match is None or match[1].lower() in found:
            raise Malformed("The payee's challenge is not a list of parameters, each once.")
        found[match[1].lower()] = _unquoted(match[2]) if match[2] is not None else match[3]
        place = match.end()
    if missing := [name for name in ("id", "realm", "method", "intent", "request") if not found.get(name)]:
        raise Malformed(f"The payee's challenge lacks {missing[0]!r}.")
    known = set(MppChallenge.__dataclass_fields__)
    return MppChallenge(**{name: value for name, value in found.items() if name in known and value})


def _unquoted(text: str) -> str:
    """Undo the escapes of a quoted string, also those of UTF-16 that MPP servers write."""

    def plain(found: re.Match[str]) -> str:
        return chr(int(found[1], 16)) if found[1] else found[2]

    wide = re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", plain, text)
    return wide.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _json(text: str) -> dict[str, Any]:
    if len(text) > _MOST_CHARACTERS:
        raise Malformed("What the payee says is longer than 16 KiB.")
    try:
        value = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError) as error:
        raise Malformed("What the payee says is not JSON in base 64.") from error
    if not isinstance(value, dict):
        raise Malformed("What the payee says is not a JSON object.")
    return value
