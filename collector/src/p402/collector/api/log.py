"""The log of an organisation over HTTP: its entries, checkpoints and keys, and how it grew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, Media, endpoint, routes_of
from p402.collector.api.fields import Hex32, Node, Time, shape
from p402.collector.api.problem import NotFound
from p402.collector.api.query import DIGITS, Limit, Query, wrong_parameter
from p402.collector.storage.database import Database
from p402.collector.storage.log import (
    Signers,
    checkpoint_at,
    checkpoints_page,
    consistency_hashes,
    entries_page,
    latest_checkpoint,
    log_size,
)
from p402.collector.storage.log_keys import LogKey, keys_of_log
from p402.vocabulary import rfc3339

__all__ = ["LogApi"]


class CheckpointsQuery(Query):
    """Which checkpoints."""

    after: Annotated[int, Field(ge=0, le=2**53, description="Only those of larger logs."), DIGITS] = 0
    limit: Limit = 100


class EntriesQuery(Query):
    """Which entries."""

    after: Annotated[
        int | None, Field(ge=0, le=2**53, description="Goes on after this `seq`; default: from the beginning."), DIGITS
    ] = None
    limit: Limit = 100


class ConsistencyQuery(Query):
    """Which two states of the log."""

    begin: Annotated[int, Field(alias="from", ge=0, le=2**53, description="Size of the earlier one."), DIGITS]
    end: Annotated[
        int | None, Field(alias="to", ge=0, le=2**53, description="Size of the later one; default: now."), DIGITS
    ] = None


@shape
class VerifierKey(TypedDict):
    """A key, and the checkpoints for which it is needed."""

    vkey: Annotated[str, Field(examples=["p402.local/org/acme+1a2b3c4d+AZ…"])]
    """As C2SP signed-note writes it."""
    first_size: Annotated[int, Field(ge=1, examples=[1])]
    """Size of the first checkpoint that it signs."""
    last_size: Annotated[int | None, Field(examples=[None])]
    """Size of the last one, before those that its successor signs; null for the current key."""
    signs_until: Time | None
    """When a key that has a successor stops to sign beside it, for those who have it alone; null for the current key."""


@shape
class ReceiptKeys(TypedDict):
    """The keys that an organisation's checkpoints are signed with."""

    organisation: Node
    keys: list[VerifierKey]
    """The oldest first; the last one is the current key."""


@shape
class SignedCheckpoint(TypedDict):
    """A state of the log."""

    size: Annotated[int, Field(ge=1, examples=[5])]
    checkpoint: Annotated[str, Field(examples=["p402.local/org/acme\n5\nOS5y…\n\n— p402.local/org/acme +gv7…\n"])]
    """A C2SP tlog-checkpoint, signed."""


@shape
class CheckpointPage(TypedDict):
    """Checkpoints in the order of signing."""

    checkpoints: list[SignedCheckpoint]
    next_after: Annotated[int | None, Field(examples=[None])]


@shape
class Consistency(TypedDict("_Sizes", {"from": int, "to": int})):
    """A proof that the later state of a log begins with the earlier one."""

    hashes: list[Hex32]
    """As RFC 9162, section 2.1.4."""
    checkpoint: str | None
    """The signed checkpoint of the later state; null if none was signed at that size."""


@dataclass(frozen=True, slots=True)
class LogApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    signers: Signers
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint(
        "GET /v1/checkpoints/latest",
        scope="receipts:read",
        answers={200: Media("text/plain", about="A C2SP tlog-checkpoint, signed.")},
        problems=(404,),
        sends=("Cache-Control",),
    )
    async def checkpoint(self, caller: Caller) -> web.Response:
        """Give the newest signed checkpoint of an organisation's log."""
        organisation = caller.organisation
        note = await self.database.read(lambda connection: latest_checkpoint(connection, organisation))
        if note is None:
            raise NotFound(f"The log of {organisation!r} has no entries yet, so it has no checkpoint.")
        return web.Response(text=note, content_type="text/plain", headers={"Cache-Control": "no-cache"})

    @endpoint("GET /.well-known/receipt-keys", scope="receipts:read", answers={200: ReceiptKeys})
    async def receipt_keys(self, caller: Caller) -> web.Response:
        """Publish the keys that an organisation's checkpoints are signed with, and which of them.

        ``p402-verify --key FILE`` takes this answer as it is; pin it by keeping it.
        """
        organisation = caller.organisation
        keys = await self.database.read(lambda connection: keys_of_log(connection, organisation))
        if not keys:  # a log without entries begins with the newest key
            keys = [LogKey(self.signers.signer(organisation).newest.verifier_key, 1, None, None)]
        known: ReceiptKeys = {
            "organisation": organisation,
            "keys": [
                {
                    "vkey": key.vkey,
                    "first_size": key.since_size,
                    "last_size": key.last_size,
                    "signs_until": None if key.sign_until is None else rfc3339(key.sign_until),
                }
                for key in keys
            ],
        }
        return web.json_response(known)

    @endpoint("GET /v1/checkpoints", scope="receipts:read", answers={200: CheckpointPage})
    async def checkpoints(self, caller: Caller, query: CheckpointsQuery) -> web.Response:
        """List the signed checkpoints of an organisation's log, from the first on; ``next_after`` continues."""
        organisation = caller.organisation
        found = await self.database.read(
            lambda connection: checkpoints_page(connection, organisation, query.after, query.limit)
        )
        page: CheckpointPage = {
            "checkpoints": [{"size": size, "checkpoint": note} for size, note in found],
            "next_after": found[-1][0] if len(found) == query.limit else None,
        }
        return web.json_response(page)

    @endpoint("GET /v1/consistency", scope="receipts:read", answers={200: Consistency})
    async def consistency(self, caller: Caller, query: ConsistencyQuery) -> web.Response:
        """Prove that the log only grew from one size to another: nothing of it was changed, removed or reordered."""
        organisation = caller.organisation

        def read(connection: Connection) -> Consistency:
            size = log_size(connection, organisation)
            end = size if query.end is None else query.end
            if not query.begin <= end <= size:
                raise wrong_parameter(
                    {
                        "from"
                        if query.begin > end
                        else "to": f"must not be more than {min(end, size)}, for a log of {size}"
                    }
                )
            return {
                "from": query.begin,
                "to": end,
                "hashes": [item.hex() for item in consistency_hashes(connection, organisation, query.begin, end)],
                "checkpoint": checkpoint_at(connection, organisation, end),
            }

        return web.json_response(await self.database.read(read))

    @endpoint(
        "GET /v1/log/entries",
        scope="receipts:read",
        answers={200: Media("application/x-ndjson", about="The canonical bytes of each entry, and a line feed.")},
    )
    async def entries(self, caller: Caller, query: EntriesQuery) -> web.Response:
        """Give the entries of the log, whatever their type, so that somebody else can keep and check all of it.

        They hold digests of personal data, not the data. The leaf hash of an entry is that of its line without the line
        feed. Of an entry that retention has deleted there is an empty line. An empty answer is the end of the log. Needs a key of the whole organisation.
        """
        caller.principal.require_whole_organisation()
        organisation = caller.organisation
        after = -1 if query.after is None else query.after
        found = await self.database.read(lambda connection: entries_page(connection, organisation, after, query.limit))
        body = b"".join(entry + b"\n" for _, entry in found)
        return web.Response(body=body, content_type="application/x-ndjson")
