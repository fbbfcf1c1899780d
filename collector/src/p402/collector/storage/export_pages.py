"""The records of an export, page by page: implements `exports.ports.Pages` on one snapshot of the database."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, false, func, not_, or_, select, true

from p402.collector.exports.ports import Bundled, Export, ExportFormat, ExportState
from p402.collector.settlement.ports import Settlement, SettlementState
from p402.collector.storage.charge_rows import charge_of, from_millis, to_millis
from p402.collector.storage.charges import charges_joined, within_scope
from p402.collector.storage.export_records import records_page
from p402.collector.storage.log import checkpoint_of_size, consistency_hashes, log_size, proofs_hashes
from p402.collector.storage.periods import (
    ClosedPeriod,
    closed_periods_of,
    last_close,
    period_bounds,
    posting_of,
    recorded_after_closes,
)
from p402.collector.storage.receipt_documents import receipt_file
from p402.collector.storage.receipt_sheets import sheet_of
from p402.collector.storage.sealed_charges import KnownParts, SealedCharges
from p402.collector.storage.settlement_rows import settlement_by_id
from p402.collector.storage.settlement_tables import settlements
from p402.collector.storage.tables import charges, log_entries, models, receipts, scopes
from p402.collector.storage.vault import Vault, digest_of
from p402.decisions import RateCard
from p402.exporters.documents.csv_lines import Cell
from p402.exporters.documents.pdf import Receipt
from p402.exporters.documents.posted import PostedCharge
from p402.exporters.documents.receipt_lines import ExportedReceipt
from p402.exporters.documents.statement import MarkupRule, markup_of
from p402.receipts import BundledAnchor, BundledConsistency, BundledReceipt, format_proof, make_bundle, open_disclosure
from p402.receipts.settlement import TempoNetwork
from p402.vocabulary import Attribution, Charge, Level

__all__ = ["ExportPages", "FindCard", "MakePages", "export_pages"]

FindCard = Callable[[Charge], tuple[RateCard | None, RateCard | None]]
"""Finds the prices that a charge was computed from, None if they are not held any more; and those of the list, if it has any."""
MakePages = Callable[[Connection, Export], "ExportPages"]

_PERSONAL_LEVELS = {"employee": "employee", "session": "session_id"}


def export_pages(
    vault: Vault, find_card: FindCard, markups: Sequence[MarkupRule], network: TempoNetwork | None = None
) -> MakePages:
    """Give what makes the pages of an export inside a query."""
    known: dict[tuple[str, int], KnownParts] = {}

    def make(connection: Connection, export: Export) -> ExportPages:
        place = export.id, export.log_size
        if place not in known:  # one export is made at a time
            known.clear()
        parts = known.setdefault(place, KnownParts())
        return ExportPages(connection, export, vault, find_card, markups, parts, network)

    return make


class ExportPages:
    """The records of one export as one query sees them."""

    def __init__(
        self,
        connection: Connection,
        export: Export,
        vault: Vault,
        find_card: FindCard,
        markups: Sequence[MarkupRule],
        known: KnownParts,
        network: TempoNetwork | None,
    ) -> None:
        self._connection = connection
        self._export = export
        self._request = export.request
        self._organisation = export.organisation
        self._vault = vault
        self._network = network
        self._find_card = find_card
        self._markups = markups
        self._known = known
        self._closed = closed_periods_of(connection, export.organisation)
        self._settlements: dict[str, Settlement] = {}
        self._final: list[tuple[int, str]] | None = None
        self.disclosed: list[str] = []
        """Ids of what was read with something personal."""

    def begun(self) -> Export:
        """Give the export with what it covers: all that is there now."""
        through = self._connection.execute(select(func.max(charges.c.seq))).scalar() or 0
        size = self._request.checkpoint or log_size(self._connection, self._organisation)
        note = checkpoint_of_size(self._connection, self._organisation, size) if size else None
        begun = replace(
            self._export, state=ExportState.RUNNING, charges_through=through, log_size=size, checkpoint=note
        )
        return replace(begun, total=self._total(begun))

    def receipts(self, after: int, limit: int) -> Sequence[ExportedReceipt]:
        """Give the next receipts in the order of the log."""
        rows = self._receipt_rows(after, limit)
        opened = self._disclosures(rows)
        return [
            ExportedReceipt(
                receipt_id=row["id"],
                seq=row["seq"],
                body=row["body"],
                disclosed=dict(open_disclosure((digest_of(text),), text) for text in opened.get(row["seq"], ())),
                anchor=anchored.anchor if (anchored := self._settlement(row)) else None,
            )
            for row in rows
        ]

    def bundle(self, after: int, limit: int) -> Bundled | None:
        """Give the next receipts as a bundle; None when there are none left.

        Of a whole organisation it has every entry of the log from the first receipt to the last, and says so unless some were
        pruned. All proofs lead to the export's checkpoint, and those of anchors are tied to it.
        """
        rows: list[RowMapping] = []
        while not rows:
            found = self._entry_rows(after, limit) if self._is_whole else self._receipt_rows(after, limit)
            if not found:
                return None
            after = found[-1]["seq"]
            rows = [row for row in found if row["body"]]  # of what was pruned only the hash is kept
        whole = self._is_whole and len(rows) == len(found)
        size = self._export.log_size
        note = checkpoint_of_size(self._connection, self._organisation, size)
        seqs = [row["seq"] for row in rows]
        paths = proofs_hashes(self._connection, self._organisation, seqs, size)
        opened = self._disclosures(rows)
        anchors: dict[str, BundledAnchor] = {}
        sizes: set[int] = set()
        items = []
        for row, path in zip(rows, paths, strict=True):
            settlement = self._settlement(row)
            if settlement is not None and settlement.anchor is not None and settlement.settlement_id not in anchors:
                anchors[settlement.settlement_id] = BundledAnchor.of(settlement.statement, settlement.anchor)
                sizes.add(settlement.checkpoint_size)
            items.append(
                BundledReceipt(
                    body=row["body"],
                    disclosures=opened.get(row["seq"], ()),
                    proof=format_proof(row["seq"], path, note),
                    anchor=list(anchors).index(settlement.settlement_id) if settlement and settlement.anchor else None,
                )
            )
        ties = [
            BundledConsistency.of(old, new, consistency_hashes(self._connection, self._organisation, old, new))
            for old, new in (sorted((size, other)) for other in sorted(sizes - {size}))
        ]
        value = make_bundle(
            items, list(anchors.values()), consistency=ties, whole=(seqs[0], seqs[-1]) if whole else None
        )
        data = json.dumps(value, indent=1).encode() + b"\n"
        return Bundled(data, len(rows), seqs[0], seqs[-1], after if len(found) == limit else None)

    def documents(self, after: int, limit: int) -> Sequence[tuple[int, str, Receipt]]:
        """Give the next receipts as a document tells of them, each with its place in the log and its id."""
        fields = frozenset(self._request.disclose)
        found = []
        for row in self._receipt_rows(after, limit):
            anchored = None if self._request.checkpoint else self._settlement(row)
            size = anchored.checkpoint_size if anchored else self._export.log_size
            file = receipt_file(self._connection, self._vault, row["id"], self._request.within, fields, size)
            assert file is not None, "the row is of the same snapshot"
            if file.beside.disclosures:
                self.disclosed.append(row["id"])
            found.append((row["seq"], row["id"], sheet_of(file, self._network)))
        return found

    def charges(self, after: int, limit: int) -> Sequence[PostedCharge]:
        """Give the next charges in the order of recording."""
        query = self._charges(self._export).where(charges.c.seq > after).order_by(charges.c.seq).limit(limit)
        return self._posted(self._connection.execute(query).mappings().all())

    def charges_by_session(self, after: tuple[int, int], limit: int) -> tuple[Sequence[PostedCharge], tuple[int, int]]:
        """Give the next charges, those of one session together, and the place after them."""
        scope_id, seq = after
        later = or_(charges.c.scope_id > scope_id, and_(charges.c.scope_id == scope_id, charges.c.seq > seq))
        query = self._charges(self._export).where(later).order_by(charges.c.scope_id, charges.c.seq).limit(limit)
        rows = self._connection.execute(query).mappings().all()
        return self._posted(rows), (rows[-1]["scope_id"], rows[-1]["seq"]) if rows else after

    def records(self, kind: str, after: int, limit: int) -> Sequence[tuple[int, tuple[Cell, ...]]]:
        """Give the next records that an evidence pack has beside receipts."""
        return records_page(self._connection, kind, self._request, self._export.log_size, after, limit)

    # --- receipts

    def _receipt_rows(self, after: int, limit: int) -> Sequence[RowMapping]:
        entry = and_(log_entries.c.organisation == receipts.c.organisation, log_entries.c.seq == receipts.c.seq)
        query = (
            select(receipts, log_entries.c.body)
            .join(scopes, receipts.c.scope_id == scopes.c.id)
            .join(log_entries, entry)
            .where(*self._wanted_receipts(self._export), receipts.c.seq > after)
            .order_by(receipts.c.seq)
            .limit(limit)
        )
        return self._connection.execute(query).mappings().all()

    @property
    def _is_whole(self) -> bool:
        """Whether nothing but the time narrows the export."""
        return all(value is None for level, value in self._request.within if level is not Level.ORGANISATION)

    def _range(self, export: Export) -> tuple[int, int] | None:
        """Give the places in the log of the first receipt and of the last."""
        query = select(func.min(receipts.c.seq), func.max(receipts.c.seq)).select_from(receipts.join(scopes))
        first, last = self._connection.execute(query.where(*self._wanted_receipts(export))).one()
        return None if first is None else (first, last)

    def _entry_rows(self, after: int, limit: int) -> Sequence[RowMapping]:
        found = self._range(self._export)
        if found is None:
            return ()
        entry = and_(log_entries.c.organisation == receipts.c.organisation, log_entries.c.seq == receipts.c.seq)
        query = (
            select(log_entries.c.seq, log_entries.c.body, receipts.c.id, receipts.c.settlement_id)
            .select_from(log_entries.outerjoin(receipts, entry))
            .where(log_entries.c.organisation == self._organisation)
            .where(log_entries.c.seq > max(after, found[0] - 1), log_entries.c.seq <= found[1])
            .order_by(log_entries.c.seq)
            .limit(limit)
        )
        return self._connection.execute(query).mappings().all()

    def _wanted_receipts(self, export: Export) -> list[ColumnElement[bool]]:
        request = export.request
        wanted = [receipts.c.organisation == export.organisation, receipts.c.seq < export.log_size]
        wanted += within_scope(request.within)
        if request.begin is not None:
            wanted.append(receipts.c.issued_at >= to_millis(request.begin))
        if request.end is not None:
            wanted.append(receipts.c.issued_at < to_millis(request.end))
        if request.after_seq is not None:
            wanted.append(receipts.c.seq > request.after_seq)
        if request.before_seq is not None:
            wanted.append(receipts.c.seq < request.before_seq)
        return wanted

    def _disclosures(self, rows: Sequence[RowMapping]) -> Mapping[int, tuple[str, ...]]:
        if not self._request.disclose:
            return {}
        fields = frozenset(self._request.disclose)
        opened = self._vault.open(self._connection, self._organisation, [row["seq"] for row in rows], fields)
        self.disclosed += [row["id"] or f"entry {row['seq']}" for row in rows if row["seq"] in opened]
        return opened

    def _settlement(self, row: RowMapping | Mapping[str, Any]) -> Settlement | None:
        """Give what anchored an entry of the log, as far as the export goes beyond it; where it is pinned, also later ones."""
        settlement_id = row["settlement_id"] or self._settlement_over(row["seq"])
        if settlement_id is None:
            return None
        if settlement_id not in self._settlements:
            self._settlements[settlement_id] = settlement_by_id(self._connection, settlement_id)
        found = self._settlements[settlement_id]
        is_covered = self._request.checkpoint is not None or found.checkpoint_size <= self._export.log_size
        return found if is_covered else None

    def _settlement_over(self, seq: int) -> str | None:
        """Give the first final settlement of a checkpoint that has an entry."""
        if self._final is None:
            final = settlements.c.state == SettlementState.FINAL.value, settlements.c.organisation == self._organisation
            query = select(settlements.c.checkpoint_size, settlements.c.id).where(*final)
            self._final = [
                (size, id_) for size, id_ in self._connection.execute(query.order_by(*query.selected_columns))
            ]
        number = bisect_right(self._final, (seq, "\U0010ffff"))
        return self._final[number][1] if number < len(self._final) else None

    # --- charges

    def _charges(self, export: Export) -> Select[Any]:
        return charges_joined().where(*self._wanted_charges(export))

    def _wanted_charges(self, export: Export) -> list[ColumnElement[bool]]:
        request = export.request
        wanted = [charges.c.seq <= export.charges_through, *within_scope(request.within), self._posted_within(export)]
        if request.model is not None:
            wanted.append(or_(models.c.response_model == request.model, models.c.request_model == request.model))
        if request.after_seq is not None:
            wanted.append(charges.c.seq > request.after_seq)
        if request.before_seq is not None:
            wanted.append(charges.c.seq < request.before_seq)
        return wanted

    def _posted_within(self, export: Export) -> ColumnElement[bool]:
        """Keep what posts to the export's period: by the beginning of the call, or, too late for that, by its recording."""
        request = export.request

        def in_period(moment: Any) -> ColumnElement[bool]:
            later = true() if request.begin is None else moment >= to_millis(request.begin)
            return and_(later, true() if request.end is None else moment < to_millis(request.end))

        late = or_(false(), *(_came_too_late_for(closed) for closed in self._closed.values()))
        return or_(
            and_(in_period(charges.c.started_at), not_(late)),
            and_(in_period(recorded_after_closes(self._closed)), late),
        )

    def _posted(self, rows: Sequence[RowMapping]) -> list[PostedCharge]:
        sealed = SealedCharges(self._connection, self._export.log_size, self._settlement, self._known)
        shown = set(self._request.disclose)
        found = []
        for row in rows:
            charge = charge_of(dict(row))
            recorded_at = from_millis(row["recorded_at"])
            whose = charge.attribution
            rule = markup_of(self._markups, whose.department, whose.project, whose.client)
            card, listed = self._find_card(charge)
            receipt = sealed.receipt_of(row["scope_id"], row["seq"])
            if (whose.employee and "employee" in shown) or (whose.session and "session_id" in shown):
                self.disclosed.append(receipt.receipt_id if receipt else f"charge {row['seq']}")
            found.append(
                PostedCharge(
                    seq=row["seq"],
                    charge=replace(charge, attribution=_without(whose, shown)),
                    recorded_at=recorded_at,
                    closed_before=last_close(row["seq"], self._closed),
                    organisation=self._organisation,
                    correction=posting_of(row["seq"], charge.started_at, recorded_at, self._closed).adjustment,
                    receipt=receipt,
                    card=card,
                    listed=listed,
                    markup_basis_points=rule.basis_points if rule else None,
                )
            )
        return found

    def _total(self, export: Export) -> int:
        if export.request.format.is_of_charges:
            counted = select(func.count()).select_from(charges.join(scopes).join(models)).where(
                *self._wanted_charges(export)
            )  # fmt: skip
            return int(self._connection.execute(counted).scalar_one())
        of_log = select(func.count()).select_from(receipts.join(scopes)).where(*self._wanted_receipts(export))
        listed = int(self._connection.execute(of_log).scalar_one())
        found = self._range(export) if self._is_whole else None
        bundled = listed if found is None else found[1] - found[0] + 1
        match export.request.format:
            case ExportFormat.BUNDLE:
                return bundled
            case ExportFormat.EVIDENCE:
                return listed + bundled
            case _:
                return listed


def _came_too_late_for(closed: ClosedPeriod) -> ColumnElement[bool]:
    begin, end = (to_millis(bound) for bound in period_bounds(closed.period))
    return and_(charges.c.started_at >= begin, charges.c.started_at < end, charges.c.seq > closed.through_seq)


def _without(whose: Attribution, shown: set[str]) -> Attribution:
    """Leave out personal levels that are not disclosed."""
    hidden = {level: None for level, field in _PERSONAL_LEVELS.items() if field not in shown}
    return replace(whose, **hidden)
