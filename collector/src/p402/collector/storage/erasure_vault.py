"""Takes a person's disclosures out of the vault, and their key when none is left."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from p402.collector.privacy.holds import Hold, matters_over
from p402.collector.privacy.vault_keys import SESSION
from p402.collector.storage.driver import driver
from p402.collector.storage.erasure_extent import Extent, times_of
from p402.collector.storage.holds import active_holds
from p402.collector.storage.vault import Subject, Vault, forget_unused_keys
from p402.vocabulary import Attribution

__all__ = ["empty_vault"]

_RECORDS = (  # of a subject's disclosures, with the session that each is about, if it is about one
    "SELECT vault.id, vault.digest, scopes.id, scopes.department, scopes.project, scopes.client,"
    " scopes.employee, scopes.session FROM vault"
    " LEFT JOIN receipts ON receipts.organisation = vault.organisation AND receipts.seq = vault.seq"
    " LEFT JOIN receipt_reviews ON receipt_reviews.organisation = vault.organisation AND receipt_reviews.seq = vault.seq"
    " LEFT JOIN receipts AS reviewed ON reviewed.id = receipt_reviews.receipt_id"
    " LEFT JOIN scopes ON scopes.id = COALESCE(receipts.scope_id, reviewed.scope_id)"
    " WHERE vault.subject_id = ? ORDER BY vault.id"
)


def empty_vault(
    connection: Connection, vault: Vault, organisation: str, place: bytes, extent: Extent
) -> tuple[list[str], int, list[str]]:
    """Delete disclosures, and the keys of subjects of whom none is left.

    Gives the digests of what is gone, how many a hold keeps, and the matters of the holds.
    """
    sql = driver(connection)
    holds = active_holds(connection, organisation)
    free = [owner.scope_id for owner in extent.free]
    held = {owner.scope_id for owner in extent.held}
    nobodys = {owner.session for owner in extent.free if owner.whose.employee is None}
    places = [place, *(vault.place(organisation, Subject(SESSION, name)) for name in sorted(nobodys))]
    digests: list[str] = []
    kept, matters = 0, set(extent.matters)
    for subject in places:
        found = sql.execute("SELECT id FROM subjects WHERE place = ?", (subject,)).fetchone()
        if found is None:
            continue
        rows = sql.execute(_RECORDS, (found[0],)).fetchall()
        others = sorted({int(row[2]) for row in rows if row[2] is not None} - held - set(free))
        times = times_of(sql, others) if holds else {}
        gone = []
        for vault_id, digest, scope_id, *levels in rows:
            keeping = (
                extent.matters if scope_id in held else _matters(vault, holds, organisation, scope_id, levels, times)
            )
            if keeping:
                kept += 1
                matters |= set(keeping)
            else:
                gone.append(vault_id)
                digests.append(digest)
        sql.executemany("DELETE FROM vault WHERE id = ?", [(vault_id,) for vault_id in gone])
        forget_unused_keys(sql, [int(found[0])])
    return digests, kept, sorted(matters)


def _matters(
    vault: Vault,
    holds: Sequence[Hold],
    organisation: str,
    scope_id: int | None,
    levels: Sequence[str],
    times: dict[int, tuple[int, int]],
) -> list[str]:
    """Name the matters that keep what somebody did about another person's session."""
    if scope_id is None or scope_id not in times:
        return []
    department, project, client, employee, session = (level or None for level in levels)
    whose = Attribution(organisation, department, project, client, employee, session)
    return matters_over(holds, whose, *times[scope_id], vault.keys.locate)
