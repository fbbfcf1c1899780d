"""What a collector has in its books, as a whole, so that two moments can be compared; and whether they are in order."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from p402.collector.storage.charges import charges_page
from p402.receipts import (
    NO_PREVIOUS,
    Link,
    Status,
    Trust,
    append_nodes,
    charges_digest,
    leaf_hash,
    open_checkpoint,
    root,
    verify,
)
from p402.vocabulary import Attribution, Charge, Money
from support.collector import RunningCollector
from support.databases import kept_in
from support.postgresql import administrators, program

LEVELS = ("organisation", "department", "project", "client", "employee", "session")
_ORGANISATION = "acme"
_MONTH = {"from": "2026-05-01T00:00:00Z", "to": "2026-06-01T00:00:00Z"}  # `support.otlp.MAY_2026` lies in it


@dataclass(frozen=True)
class Books:
    """Every charge, the spend of every node at every level, and every span that was set aside, of acme in May 2026."""

    charges: list[dict[str, Any]]
    spend: dict[str, list[dict[str, Any]]]
    set_aside: list[tuple[Any, ...]]

    @property
    def cost(self) -> Money:
        return sum((Money.parse(charge["cost_usd"]) for charge in self.charges), Money(0))

    @property
    def span_ids(self) -> list[str]:
        """Of the charges, in the order of recording."""
        return [charge["span_id"] for charge in self.charges]


def read_books(collector: RunningCollector) -> Books:
    """Read the books while nobody sends, and check that they balance: at every level the nodes add up to the charges."""
    charges = _pages(collector, "/v1/charges", "charges")
    spend = {
        level: collector.get("/v1/spend", organisation=_ORGANISATION, level=level, **_MONTH)["spend"]
        for level in LEVELS
    }
    columns = "span_key, organisation, reason, charge_seq, detail, recorded_at"
    books = Books(charges, spend, rows(collector.data_dir, f"SELECT {columns} FROM set_aside ORDER BY id"))
    for level, nodes in spend.items():
        assert sum(node["charges"] for node in nodes) == len(charges), level
        assert sum((Money.parse(node["cost_usd"]) for node in nodes), Money(0)) == books.cost, level
    return books


def charge_count(data_dir: Path) -> int:
    """Count the charges, also while some arrive."""
    return int(rows(data_dir, "SELECT count(*) FROM charges")[0][0])


def integrity(data_dir: Path) -> str:
    """Let the database check itself: "ok", or what is wrong."""
    kept = kept_in(data_dir)
    if kept.url is None:
        return str(kept.rows("PRAGMA integrity_check")[0][0])
    checked = subprocess.run(
        [program("pg_amcheck"), "--install-missing", "--heapallindexed", administrators(kept.url)],
        capture_output=True,
        text=True,
        check=False,
    )
    return "ok" if checked.returncode == 0 else checked.stdout + checked.stderr


def receipts_of(collector: RunningCollector) -> list[dict[str, Any]]:
    """Every receipt, in the order of the log."""
    return _pages(collector, "/v1/receipts", "receipts")


def audit_log(collector: RunningCollector) -> None:
    """Check that each charge is in exactly one receipt, and that the log is one unbroken chain with valid proofs."""
    receipts = receipts_of(collector)
    _check_coverage(receipts, _charges(collector.data_dir))
    key = collector.get("/.well-known/receipt-keys", organisation=_ORGANISATION)["keys"][0]["vkey"]
    tree = _Tree()
    previous = NO_PREVIOUS
    for seq, receipt in enumerate(receipts):
        path = f"/v1/receipts/{receipt['receipt_id']}"
        body = collector.text(f"{path}/body").encode()
        assert (json.loads(body)["seq"], json.loads(body)["prev"]) == (seq, previous.hex())
        previous = leaf_hash(body)
        tree.append(previous)
        report = verify(collector.text(f"{path}.json").encode(), Trust((key,)))
        not_ok = {check.link for check in report.checks if check.status is not Status.OK}
        assert not_ok == {Link.ANCHOR}, report.to_json()
    notes = rows(collector.data_dir, "SELECT note FROM checkpoints ORDER BY size")
    checkpoints = [open_checkpoint(note, [key]) for (note,) in notes]
    assert [checkpoint.root for checkpoint in checkpoints] == [tree.roots[it.size - 1] for it in checkpoints]
    assert checkpoints[-1].size == len(tree.roots)


@dataclass
class _Tree:
    roots: list[bytes] = field(default_factory=list)
    """Of the first leaf, of the first two, and so on."""
    _nodes: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def append(self, leaf: bytes) -> None:
        size = len(self.roots)
        for level, index, hashed in append_nodes(size, leaf, self._node):
            self._nodes[level, index] = hashed
        self.roots.append(root(size + 1, self._node))

    def _node(self, level: int, index: int) -> bytes:
        return self._nodes[level, index]


def _check_coverage(receipts: Sequence[dict[str, Any]], charges: Sequence[Charge]) -> None:
    uncovered: defaultdict[tuple[str | None, str | None], list[Charge]] = defaultdict(list)
    for charge in charges:
        uncovered[charge.attribution.department, charge.attribution.session].append(charge)
    for receipt in receipts:
        stated, of_session = receipt["body"]["charges"], uncovered[receipt["department"], receipt["session_id"]]
        covered, of_session[:] = of_session[: stated["count"]], of_session[stated["count"] :]
        assert charges_digest(covered) == stated["sha256"], receipt["receipt_id"]
    assert not any(uncovered.values()), "some charges are in no receipt"
    cost = sum((charge.cost for charge in charges if charge.cost), Money(0))
    assert sum((Money.parse(receipt["cost_usd"]) for receipt in receipts), Money(0)) == cost


def _charges(data_dir: Path) -> list[Charge]:
    engine = kept_in(data_dir).backend().engine
    with engine.connect() as connection:
        found = charges_page(connection, Attribution(organisation=_ORGANISATION), 0, 1_000_000)
    engine.dispose()
    return [charge for _, charge in found]


def _pages(collector: RunningCollector, path: str, name: str) -> list[dict[str, Any]]:
    page = collector.get(path, organisation=_ORGANISATION, limit=1000)
    found: list[dict[str, Any]] = page[name]
    while page["next_after"] is not None:
        page = collector.get(path, organisation=_ORGANISATION, limit=1000, after=page["next_after"])
        found += page[name]
    return found


def rows(data_dir: Path, query: str) -> list[tuple[Any, ...]]:
    """Query the database itself, for what the API does not show."""
    return kept_in(data_dir).rows(query)
