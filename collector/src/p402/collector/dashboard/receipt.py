"""One receipt: every field of it, how far its proof is, what people said about it, and a check of all of that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection

from p402.collector.api.auth import Principal, reader_of
from p402.collector.api.endpoint import Caller, endpoint
from p402.collector.api.problem import NotFound
from p402.collector.api.receipt_reviews import ReceiptReviewsApi, ReviewBody
from p402.collector.api.views import ReceiptView, receipt_view
from p402.collector.dashboard.forms import FORM_TYPE, WrongForm, fields_of, read_fields, shown
from p402.collector.dashboard.names import Naming, nodes_of
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.dashboard.verification import Finding, Verification, verify_receipt
from p402.collector.dashboard.view import View
from p402.collector.storage.database import Database
from p402.collector.storage.disclosures import FIELDS, Disclosures
from p402.collector.storage.log import Signers, entry_body
from p402.collector.storage.log_keys import keys_of_log
from p402.collector.storage.receipt_documents import ReceiptFile, receipt_file
from p402.collector.storage.receipt_ledger import ledger_digest
from p402.collector.storage.receipt_sheets import receipt_bundle, related_receipt
from p402.collector.storage.receipts import StoredReceipt, receipt_by_id, receipt_proof
from p402.exporters.documents.pdf import RelatedReceipt
from p402.receipts import ChainReader, Checkpoint, PinnedKey, Status, parse_checkpoint, parse_proof
from p402.receipts.settlement import LOCAL, MAINNET, MODERATO, TempoNetwork
from p402.vocabulary import Attribution, Permanent

__all__ = ["ReceiptPage"]

_WHAT = "GET /receipts/{receipt_id}"
_LABELS = {"reviewer": "Your name", "comment": "Comment", "action": "Decision"}
_PUBLIC_NODES = {network.rpc_url for network in (LOCAL, MAINNET, MODERATO)}
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)  # what a body that somebody changed may raise


class OneReceiptView(View):
    """The query of the page."""

    done: Annotated[
        Literal["requested", "approved", "rejected", "commented"] | None,
        Field(description="What was said about it just now."),
    ] = None


@dataclass(frozen=True, slots=True)
class _Read:
    """What a page about a receipt is made of."""

    stored: StoredReceipt
    file: ReceiptFile | None
    """None: its body or its place in the log cannot be read."""
    view: ReceiptView | None
    problem: str | None
    """Why not."""
    related: Sequence[RelatedReceipt]
    checkpoint: Checkpoint | None
    keys: Sequence[PinnedKey]


class ReceiptPage(Pages):
    """The handlers."""

    def __init__(
        self,
        shell: Shell,
        database: Database,
        naming: Naming,
        network: TempoNetwork | None,
        disclosures: Disclosures,
        reviews: ReceiptReviewsApi,
        signers: Signers,
    ) -> None:
        super().__init__(shell)
        self._database = database
        self._naming = naming
        self._network = network
        self._disclosures = disclosures
        self._reviews = reviews
        self._signers = signers

    @endpoint("GET /receipts/{receipt_id}", scope="receipts:read", answers={200: HTML})
    async def receipt(
        self, request: web.Request, caller: Caller, query: OneReceiptView, receipt_id: str
    ) -> web.Response:
        """Show a receipt: its fields, its proof step by step, its reviews, what corrects it, and how to check it."""
        return await self._page(request, caller, query, receipt_id)

    @endpoint(
        "POST /receipts/{receipt_id}/verify",
        scope="receipts:read",
        answers={200: HTML},
        takes={FORM_TYPE: "Nothing is filled in."},
    )
    async def verify(
        self, request: web.Request, caller: Caller, query: OneReceiptView, receipt_id: str
    ) -> web.Response:
        """Check a receipt with the verifier that an auditor runs, and show every check.

        The keys in this collector's files are pinned, and the node is asked that it settles by, if it does. The calls in the
        ledger are compared with what was sealed besides.
        """
        read = await self._read(caller.principal, receipt_id)
        return await self._page(request, caller, query, receipt_id, checked=await self._check(read))

    @endpoint(
        "POST /receipts/{receipt_id}/review",
        scope="review receipts:read",
        answers={303: None, 400: HTML},
        takes={
            FORM_TYPE: "`action` (`request`, `approve`, `reject`, `comment`), `reviewer` and `comment`, as the API takes them."
        },
    )
    async def review(
        self, request: web.Request, caller: Caller, query: OneReceiptView, receipt_id: str
    ) -> web.Response:
        """Note a step of a review, and show the receipt with it; what is wrong in the form is said beside it."""
        fields = await fields_of(request)
        own = caller.principal.employee
        said: dict[str, str] = {name: fields[name] for name in ("action", "reviewer", "comment") if name in fields}
        if own is not None:
            said["reviewer"] = own
        try:
            body = read_fields(ReviewBody, said, _LABELS)
        except WrongForm as wrong:
            return await self._page(
                request, caller, query, receipt_id, status=400, problems=wrong.problems, typed=fields
            )
        step = await self._reviews.take(caller, receipt_id, body)
        return self._shell.see(request, f"/receipts/{receipt_id}", done=step.action.value)

    async def _page(
        self,
        request: web.Request,
        caller: Caller,
        query: OneReceiptView,
        receipt_id: str,
        *,
        status: int = 200,
        checked: Verification | None = None,
        problems: Mapping[str, str] | None = None,
        typed: Mapping[str, str] | None = None,
    ) -> web.Response:
        principal = caller.principal
        read = await self._read(principal, receipt_id)
        if read.file is not None:
            await self._disclosures.note_receipts(reader_of(principal, _WHAT), [read.stored], read.file.beside)
        view = read.view
        owner = Attribution(department=view["department"], employee=view["employee"]) if view else Attribution()
        of_its_log = replace(caller, organisation=read.stored.organisation)  # which the address need not name
        names = await self._naming.look_up(of_its_log, query, _WHAT, nodes_of(owner))
        rpc = self._network.rpc_url if self._network else None
        return self._shell.page(
            request,
            caller,
            query,
            "receipt.html",
            live=False,
            status=status,
            stored=read.stored,
            receipt=view,
            names=names,
            unreadable=read.problem,
            fates={} if read.file is None else read.file.fates[read.stored.seq],
            related=read.related,
            checkpoint=read.checkpoint,
            network=self._network,
            base=f"{request.scheme}://{request.host}",
            key=read.keys[-1].vkey if read.keys else None,
            rpc=rpc if rpc in _PUBLIC_NODES else None,
            reviewer=principal.employee,
            checked=checked,
            problems=shown(problems),
            typed=shown(typed),
        )

    async def _read(self, principal: Principal, receipt_id: str) -> _Read:
        fields = FIELDS if principal.may("receipts:personal") else frozenset[str]()

        def read(connection: Connection) -> _Read:
            stored = receipt_by_id(connection, receipt_id, principal.bound_to)
            if stored is None:
                raise NotFound(f"There is no receipt {receipt_id[:64]!r}, or you may not see it.")
            signer = self._signers.signer(stored.organisation)
            noted = keys_of_log(connection, stored.organisation)
            keys = [
                PinnedKey(key.vkey, key.since_size, key.last_size) for key in noted if signer.find(key.vkey) is not None
            ]
            try:
                file = receipt_file(connection, self._disclosures.vault, receipt_id, principal.bound_to, fields)
                assert file is not None, "it was there a moment ago"
                view = receipt_view(stored, self._network, file.beside)
                body = json.loads(stored.body)
                related = [related_receipt(receipt_id, body, other) for other in file.others]
                checkpoint = parse_checkpoint(parse_proof(file.proof).checkpoint)
            except (*_UNREADABLE, Permanent) as error:
                return _Read(stored, None, None, f"{type(error).__name__}: {error}", (), None, keys)
            return _Read(stored, file, view, None, related, checkpoint, keys)

        return await self._database.read(read)

    async def _check(self, read: _Read) -> Verification:
        """Run the verifier on what would be given to an auditor."""
        stored = read.stored

        def gather(connection: Connection) -> tuple[str, Finding]:
            try:
                proof = receipt_proof(connection, stored)
            except Permanent as error:
                proof = str(error)  # which is no proof, as the verifier will say
            return proof, _compare(connection, stored)

        proof, in_ledger = await self._database.read(gather)
        shown = read.file.beside.disclosures.get(stored.seq, ()) if read.file else ()
        bundle = receipt_bundle(stored, proof, shown)
        rpc = ChainReader(self._network.rpc_url) if self._network else None
        return await asyncio.to_thread(verify_receipt, bundle, read.keys, rpc, in_ledger)


def _compare(connection: Connection, stored: StoredReceipt) -> Finding:
    """Compare the calls in the ledger with the digest that was sealed."""
    subject = stored.receipt_id
    try:
        sealed: Mapping[str, Any] = json.loads(entry_body(connection, stored.organisation, stored.seq))["charges"]
        digest = ledger_digest(connection, stored.receipt_id)
    except _UNREADABLE:
        return Finding.in_ledger(subject, Status.NOT_CHECKED, "It depends on a body that cannot be read.")
    if digest is None:
        why = "The receipts of the session do not tell which calls were sealed here, or those are too many for a page."
        return Finding.in_ledger(subject, Status.NOT_CHECKED, why)
    if digest != sealed["sha256"]:
        why = "A call was changed, added or removed in the ledger after it was sealed: the receipt says what it was before."
        return Finding.in_ledger(subject, Status.FAILED, why)
    return Finding.in_ledger(subject, Status.OK, f"All {sealed['count']} calls hash to what the receipt commits to.")
