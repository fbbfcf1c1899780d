"""A running collector, as commands talk to it: through its API, so that other replicas and clients hear of a change."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPResponse
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from p402.vocabulary import Permanent, Transient
from p402.vocabulary.environment import DEFAULT_COLLECTOR_URL, P402_API_KEY, P402_COLLECTOR_URL

__all__ = ["CollectorUnreachable", "Refused", "Remote", "add_options", "remote_of"]

_TIMEOUT = 60.0  # seconds; a dry run of a month takes some
_PAGE = "1000"


class Refused(Permanent):
    """The collector does not do what was asked; the message is its own."""


class CollectorUnreachable(Transient):
    """Nobody answers as a collector would."""


@dataclass(frozen=True, slots=True)
class Remote:
    """The API of a collector."""

    url: str
    key: str | None = field(default=None, repr=False)
    organisation: str | None = None

    def get(self, path: str, **query: str) -> Any:
        """Read something."""
        return self.ask("GET", path, query=query)

    def pages(self, path: str, name: str, **query: str) -> Iterator[dict[str, Any]]:
        """Read a list to its end, page by page; gives the items, which are the member ``name`` of a page."""
        after: dict[str, str] = {}
        while True:
            page = self.get(path, limit=_PAGE, **query, **after)
            yield from page[name]
            if page["next_after"] is None:
                return
            after = {"after": page["next_after"]}

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request, with bytes as its body or what is to be JSON; gives the JSON that comes back.

        Raises:
            Refused: with what the collector says is wrong.
            CollectorUnreachable: if there is no answer.
        """
        with self.open(path, headers, method=method, body=body, query=query) as response:
            try:
                return json.load(response)
            except (OSError, ValueError) as error:
                raise self._unreachable(error) from error

    def open(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        body: object = None,
        query: Mapping[str, str] | None = None,
    ) -> HTTPResponse:
        """Send a request; gives the answer to read from, as far as it is one that fulfils the request.

        Raises:
            Refused: with what the collector says is wrong.
            CollectorUnreachable: if there is no answer.
        """
        asked = {**({"organisation": self.organisation} if self.organisation else {}), **(query or {})}
        url = f"{self.url}{path}" + (f"?{urlencode(asked)}" if asked else "")
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = Request(url, data=data, method=method, headers={"Accept": "application/json", **(headers or {})})  # noqa: S310 - http or https: `remote_of` looks
        if data is not None and not request.has_header("Content-type"):
            request.add_header("Content-Type", "application/json")
        if self.key:
            request.add_header("Authorization", f"Bearer {self.key}")
        try:
            answer: HTTPResponse = urlopen(request, timeout=_TIMEOUT)  # noqa: S310
        except HTTPError as error:
            raise Refused(_told(error)) from error
        except (OSError, ValueError) as error:
            raise self._unreachable(error) from error
        return answer

    def _unreachable(self, error: Exception) -> CollectorUnreachable:
        reason = getattr(error, "reason", error)
        return CollectorUnreachable(
            f"No collector answers at {self.url} ({reason}): is `p402 serve` running there? "
            f"--url or {P402_COLLECTOR_URL} says where it is."
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which collector is meant, and by which right."""
    parser.add_argument(
        "--url", help=f"address of the collector (default: {P402_COLLECTOR_URL}, {DEFAULT_COLLECTOR_URL})"
    )
    parser.add_argument("--key", help=f"API key (default: {P402_API_KEY}, which other users of the machine cannot see)")
    parser.add_argument("--organisation", metavar="ID", help="organisation (default: the key's, else the collector's)")


def remote_of(parsed: argparse.Namespace) -> Remote:
    """Give the collector that the options and the environment name.

    Raises:
        Refused: if its address is none.
    """
    url = str(parsed.url or os.environ.get(P402_COLLECTOR_URL) or DEFAULT_COLLECTOR_URL).rstrip("/")
    if urlsplit(url).scheme not in {"http", "https"}:
        raise Refused(f"The address of a collector begins with http:// or https://; got {url!r}.")
    return Remote(url, parsed.key or os.environ.get(P402_API_KEY), parsed.organisation)


def _told(error: HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (ValueError, KeyError, TypeError, OSError):
        return f"The server answers {error.code} {error.reason} at {urlsplit(error.url).path}: is that a collector?"
