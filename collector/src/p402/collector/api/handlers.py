"""The read side of the API, and closing a session. Each handler: who asks, what for, one query, one view."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from p402.collector.api.auth import Authenticator, Principal
from p402.collector.api.pages import MAX_LIMIT, integer, organisation_of
from p402.collector.api.problem import BadRequest, NotFound
from p402.collector.api.views import charge_view, receipt_view, settlement_view, spend_view
from p402.collector.sessions.seal import Sealer
from p402.collector.storage.charges import charges_page, spend_by
from p402.collector.storage.database import Database
from p402.collector.storage.log import Signers, latest_checkpoint
from p402.collector.storage.receipts import StoredReceipt, receipt_by_id, receipt_proof, receipts_page
from p402.collector.storage.settlements import settlements_page
from p402.exporters.prometheus import CONTENT_TYPE, CollectorMetrics
from p402.receipts import BundledAnchor, BundledReceipt, make_bundle
from p402.receipts.settlement import TempoNetwork
from p402.vocabulary import Clock, Level, is_valid_id, rfc3339

__all__ = ["Api"]

_IMMUTABLE = "private, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Api:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    sealer: Sealer
    signers: Signers
    metrics: CollectorMetrics
    network: TempoNetwork | None
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return [
            web.get("/v1/receipts", self.receipts, allow_head=False),
            web.get("/v1/receipts/{receipt_id}.json", self.bundle, allow_head=False),
            web.get("/v1/receipts/{receipt_id}", self.receipt, allow_head=False),
            web.get("/v1/receipts/{receipt_id}/body", self.body, allow_head=False),
            web.get("/v1/receipts/{receipt_id}/proof", self.proof, allow_head=False),
            web.get("/v1/checkpoints/latest", self.checkpoint, allow_head=False),
            web.get("/.well-known/receipt-keys", self.receipt_keys, allow_head=False),
            web.get("/v1/settlements", self.settlements, allow_head=False),
            web.get("/v1/charges", self.charges, allow_head=False),
            web.get("/v1/spend", self.spend, allow_head=False),
            web.post("/v1/sessions/{session}/close", self.close_session),
            web.get("/healthz", self.healthy, allow_head=False),
            web.get("/readyz", self.ready, allow_head=False),
            web.get("/metrics", self.prometheus, allow_head=False),
        ]

    # --- receipts

    async def receipts(self, request: web.Request) -> web.Response:
        """List receipts in the order of the log; ``next_after`` continues."""
        principal, organisation = await self._reader(request, "receipts:read")
        after = integer(request, "after", -1, least=0, most=2**53)
        limit = integer(request, "limit", 100, least=1, most=MAX_LIMIT)
        found = await self.database.read(
            lambda connection: receipts_page(connection, organisation, principal.bound_to, after, limit)
        )
        return web.json_response(
            {
                "receipts": [self._view(receipt, principal) for receipt in found],
                "next_after": found[-1].seq if len(found) == limit else None,
            }
        )

    async def receipt(self, request: web.Request) -> web.Response:
        """Show one receipt, composed of its sealed body and what came later."""
        principal, receipt = await self._receipt(request)
        return _cached(request, json.dumps(self._view(receipt, principal)).encode(), "no-cache")

    async def body(self, request: web.Request) -> web.Response:
        """Give the exact bytes that the log's leaf hash is computed from."""
        _, receipt = await self._receipt(request)
        return _cached(request, receipt.body, _IMMUTABLE)

    async def proof(self, request: web.Request) -> web.Response:
        """Give the proof that the receipt is in the log, as a C2SP tlog-proof."""
        _, receipt = await self._receipt(request)
        text = await self.database.read(lambda connection: receipt_proof(connection, receipt))
        return web.Response(text=text, content_type="text/plain")

    async def bundle(self, request: web.Request) -> web.Response:
        """Give everything that `p402-verify` needs, in one file."""
        principal, receipt = await self._receipt(request)
        proof = await self.database.read(lambda connection: receipt_proof(connection, receipt))
        settlement = receipt.settlement
        anchors = (
            [BundledAnchor.of(settlement.statement, settlement.anchor)] if settlement and settlement.anchor else []
        )
        item = BundledReceipt(
            body=receipt.body,
            disclosures=receipt.disclosures if principal.may("receipts:personal") else (),
            proof=proof,
            anchor=0 if anchors else None,
        )
        return web.json_response(make_bundle([item], anchors), dumps=lambda value: json.dumps(value, indent=1))

    async def checkpoint(self, request: web.Request) -> web.Response:
        """Give the newest signed checkpoint of an organisation's log."""
        _, organisation = await self._reader(request, "receipts:read")
        note = await self.database.read(lambda connection: latest_checkpoint(connection, organisation))
        if note is None:
            raise NotFound(f"The log of {organisation!r} has no entries yet, so it has no checkpoint.")
        return web.Response(text=note, content_type="text/plain", headers={"Cache-Control": "no-cache"})

    async def receipt_keys(self, request: web.Request) -> web.Response:
        """Publish the key that an organisation's checkpoints are signed with."""
        _, organisation = await self._reader(request, "receipts:read")
        key = self.signers.signer(organisation).verifier_key
        return web.json_response({"organisation": organisation, "keys": [{"vkey": key}]})

    async def settlements(self, request: web.Request) -> web.Response:
        """List the settlements of an organisation, the newest first."""
        _, organisation = await self._reader(request, "receipts:read")
        limit = integer(request, "limit", 100, least=1, most=MAX_LIMIT)
        found = await self.database.read(lambda connection: settlements_page(connection, organisation, limit))
        return web.json_response({"settlements": [settlement_view(item, self.network) for item in found]})

    # --- spend

    async def charges(self, request: web.Request) -> web.Response:
        """List charges in the order in which they were recorded; ``next_after`` continues."""
        principal, organisation = await self._reader(request, "spend:read")
        after = integer(request, "after", 0, least=0, most=2**53)
        limit = integer(request, "limit", 100, least=1, most=MAX_LIMIT)
        within = principal.within(organisation)
        found = await self.database.read(lambda connection: charges_page(connection, within, after, limit))
        return web.json_response(
            {
                "charges": [charge_view(seq, charge) for seq, charge in found],
                "next_after": found[-1][0] if len(found) == limit else None,
            }
        )

    async def spend(self, request: web.Request) -> web.Response:
        """Sum the spend of a period by a level of the tree, hour by hour from the counters."""
        principal, organisation = await self._reader(request, "spend:read")
        principal.require_whole_organisation()
        level = _level(request)
        now = self.clock.now().astimezone(UTC)
        month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        begin, end = _hour(request, "from", month), _hour(request, "to", now + timedelta(hours=1))
        hours = int(begin.timestamp()) // 3600, int(end.timestamp()) // 3600
        found = await self.database.read(lambda connection: spend_by(connection, level, organisation, *hours))
        return web.json_response(
            {
                "organisation": organisation,
                "from": rfc3339(begin),
                "to": rfc3339(end),
                "level": level.value,
                "spend": spend_view(level.value, found),
            }
        )

    async def close_session(self, request: web.Request) -> web.Response:
        """Note that a session is over; its receipt follows when spans on their way have had time to arrive."""
        principal = await self.authenticator.authenticate(request, "ingest")
        organisation = organisation_of(request, principal, self.default_organisation)
        session = request.match_info["session"]
        if not is_valid_id(session):
            raise BadRequest("A session id has 1 to 256 printable characters.")
        closing = await self.sealer.close(organisation, session)
        return web.json_response({"session": session, "state": "closing", "open_parts": closing}, status=202)

    # --- operations

    async def healthy(self, _: web.Request) -> web.Response:
        """Say that the process runs."""
        return web.json_response({"status": "ok"})

    async def ready(self, _: web.Request) -> web.Response:
        """Say whether spans can be taken in: the database can be written."""
        await self.database.write(lambda _: None)
        return web.json_response({"status": "ok"})

    async def prometheus(self, _: web.Request) -> web.Response:
        """Give the collector's metrics."""
        return web.Response(body=self.metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

    # --- shared

    async def _reader(self, request: web.Request, scope: str) -> tuple[Principal, str]:
        principal = await self.authenticator.authenticate(request, scope)
        return principal, organisation_of(request, principal, self.default_organisation)

    async def _receipt(self, request: web.Request) -> tuple[Principal, StoredReceipt]:
        principal = await self.authenticator.authenticate(request, "receipts:read")
        receipt_id = request.match_info["receipt_id"]
        receipt = await self.database.read(lambda connection: receipt_by_id(connection, receipt_id, principal.bound_to))
        if receipt is None:
            raise NotFound(f"There is no receipt {receipt_id[:64]!r}, or this API key may not see it.")
        return principal, receipt

    def _view(self, receipt: StoredReceipt, principal: Principal) -> dict[str, Any]:
        return receipt_view(receipt, self.network, personal=principal.may("receipts:personal"))


def _cached(request: web.Request, body: bytes, cache_control: str) -> web.Response:
    etag = hashlib.sha256(body).hexdigest()[:32]
    headers = {"ETag": f'"{etag}"', "Cache-Control": cache_control}
    if any(known.value in (etag, "*") for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type="application/json", headers=headers)


def _level(request: web.Request) -> Level:
    names = [level.value for level in Level if level is not Level.REQUEST]
    asked = request.query.get("level", Level.DEPARTMENT.value)
    if asked not in names:
        raise BadRequest(f"The query parameter level must be one of {', '.join(names)}; got {asked[:40]!r}.")
    return Level(asked)


def _hour(request: web.Request, name: str, default: datetime) -> datetime:
    """Read a time in UTC, down to the hour: that is how finely spend is counted."""
    text = request.query.get(name)
    try:
        moment = default if text is None else datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    except (ValueError, OverflowError):
        pass
    raise BadRequest(f"The query parameter {name} must be a time with a zone, such as 2026-11-01T00:00:00Z.")
