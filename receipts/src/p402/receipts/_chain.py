"""Reads a chain over JSON-RPC with nothing but the standard library, so that an auditor installs no chain client."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from p402.receipts._transfer import TransactionReceipt, parse_quantity
from p402.receipts.errors import ChainUnavailable, Malformed

__all__ = ["Block", "ChainReader", "kind_of_failure", "parse_block"]

_MAX_ANSWER_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Block:
    """What a node says about one of its blocks."""

    number: int
    hash: str
    timestamp: int
    """Seconds since 1970."""
    base_fee_per_gas: int = 0
    """In the chain's smallest unit."""


class ChainReader:
    """Asks a node that the auditor trusts. Every method raises ChainUnavailable when there is no useful answer."""

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        """Take the address of the node (http or https) and how many seconds to wait for each answer."""
        if not _is_address(url):
            raise Malformed(
                "The address of a chain's node is https:// or http://, a host, and at most a port and a path."
            )
        self._url = url
        self._timeout = timeout

    def chain_id(self) -> int:
        """Tell which chain the node serves."""
        return _number(self._call("eth_chainId"))

    def receipt(self, tx_hash: str) -> TransactionReceipt | None:
        """Tell what became of a transaction; None if the node does not know it."""
        answer = self._call("eth_getTransactionReceipt", tx_hash)
        return None if answer is None else TransactionReceipt.parse(answer)

    def block(self, tag: int | str) -> Block | None:
        """Give a block by its number, or by a tag such as ``finalized``; None if the node has none."""
        number = hex(tag) if isinstance(tag, int) else tag
        answer = self._call("eth_getBlockByNumber", number, False)  # noqa: FBT003 - positional in JSON-RPC
        return None if answer is None else parse_block(answer)

    def _call(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = Request(self._url, body, {"Content-Type": "application/json"})  # noqa: S310 - the scheme was checked
        try:
            with urlopen(request, timeout=self._timeout) as response:  # noqa: S310 - the scheme was checked
                answer = json.loads(response.read(_MAX_ANSWER_BYTES))
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, HTTPError):
                error.close()  # it holds the connection
            raise ChainUnavailable(
                f"The chain's node did not answer {method}: {kind_of_failure(error)}. Check --rpc, or try later."
            ) from None  # the cause may have the node's address, and that a key
        except (ValueError, RecursionError) as error:
            raise ChainUnavailable(f"The chain's node answered {method} with something that is not JSON.") from error
        if not isinstance(answer, dict) or "result" not in answer:
            problem = answer.get("error") if isinstance(answer, dict) else answer
            raise ChainUnavailable(f"The chain's node refused {method}: {str(problem)[:200]}.")
        return answer["result"]


def parse_block(raw: Mapping[str, Any]) -> Block:
    """Read a block as JSON-RPC gives it; raise ChainUnavailable if something that belongs there is missing."""
    try:
        base_fee = _number(raw.get("baseFeePerGas") or "0x0")
        return Block(_number(raw["number"]), str(raw["hash"]).lower(), _number(raw["timestamp"]), base_fee)
    except (AttributeError, KeyError, TypeError) as error:
        raise ChainUnavailable("The node's block lacks its number, hash or timestamp.") from error


def kind_of_failure(error: Exception) -> str:
    """Name what a node's client raised, with the HTTP status if there is one; never its text, which may have the address."""
    cause = getattr(error, "reason", None)  # of urllib's URLError
    kind = type(cause if isinstance(cause, Exception) else error).__name__
    status = getattr(error, "status", None)  # of aiohttp and urllib
    return f"{kind} (HTTP {status})" if status else kind


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not match, or a port that is none
        return False
    return has_host and parts.scheme in ("http", "https") and url.isascii() and url.isprintable() and " " not in url


def _number(value: object) -> int:
    try:
        return parse_quantity(str(value))
    except ValueError as error:
        raise ChainUnavailable(f"The node wrote {str(value)[:80]!r} where a hexadecimal number belongs.") from error
