"""Everything about personal data, put together, and made good when a collector starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import structlog
from sqlalchemy import Connection

from p402.collector.privacy.keep import PrivacyKeeper
from p402.collector.privacy.suppression_file import SuppressionFile
from p402.collector.privacy.vault_keys import VaultKeys
from p402.collector.settings import Settings
from p402.collector.storage.access_log import AccessLog, AccessLogSealing
from p402.collector.storage.backend import Backend
from p402.collector.storage.database import Database
from p402.collector.storage.disclosures import Disclosures
from p402.collector.storage.driver import TRANSACTION
from p402.collector.storage.employee_departments import EmployeeDepartments
from p402.collector.storage.erasure_runs import ErasureRuns
from p402.collector.storage.erasures import Erasures
from p402.collector.storage.holds import Holds
from p402.collector.storage.leaders import Leadership
from p402.collector.storage.log import Signers
from p402.collector.storage.owners import Owners
from p402.collector.storage.receipt_reviews import ReceiptReviews
from p402.collector.storage.retention import RetentionRules, SqlRetention
from p402.collector.storage.suppressions import Suppressions
from p402.collector.storage.transaction import Transaction
from p402.collector.storage.vault import Vault
from p402.vocabulary import Clock, IdFactory

__all__ = ["PersonalData", "build_privacy"]

T = TypeVar("T")
_AT_ONCE = 500

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PersonalData:
    """The parts that others need."""

    vault: Vault
    suppressions: Suppressions
    owners: Owners
    disclosures: Disclosures
    access_log: AccessLog
    holds: Holds
    erasures: ErasureRuns
    reviews: ReceiptReviews
    keeper: PrivacyKeeper


def build_privacy(
    settings: Settings, backend: Backend, database: Database, signers: Signers, clock: Clock, ids: IdFactory
) -> PersonalData:
    """Put it together, encrypt what earlier versions kept in the open, and erase again what a backup brought back.

    Raises:
        Permanent: if a key or the list of erased names cannot be used.
    """
    keys = VaultKeys(settings.vault_file)
    keys.make_if_missing()
    vault = Vault(keys)
    erasures = Erasures(vault, signers, SuppressionFile(settings.erasures_folder), ids)
    make_good(backend, vault, erasures, clock)
    suppressions, departments = Suppressions(keys), EmployeeDepartments()
    for memory in (suppressions, departments):
        database.on_rollback(memory.forget)
    access_log = AccessLog(vault, signers)
    runs = ErasureRuns(database, erasures, backend, clock)
    keeper = PrivacyKeeper(
        runs,
        AccessLogSealing(database, access_log),
        SqlRetention(database, vault, signers, _rules(settings), ids),
        Leadership(database, "retention", ids("clt", clock.now()), clock),
        timedelta(seconds=settings.access_log_seconds),
        clock,
    )
    return PersonalData(
        vault,
        suppressions,
        Owners(suppressions, departments),
        Disclosures(database, vault, access_log, clock),
        access_log,
        Holds(vault, signers),
        runs,
        ReceiptReviews(vault, signers, ids),
        keeper,
    )


def make_good(backend: Backend, vault: Vault, erasures: Erasures, clock: Clock) -> None:
    """Bring the vault and the list of erased names to where they must be before anything is taken in or given away."""
    moved = 0
    while some := _change(backend, lambda connection: vault.move_plaintext(connection, _AT_ONCE)):
        moved += some
    if moved:
        log.info("disclosures_encrypted", count=moved)
    _change(backend, erasures.write_missing_lines)
    if again := _change(backend, lambda connection: erasures.replay(connection, clock.now())):
        log.warning("erasures_replayed", count=again)
        while _change(backend, erasures.sweep):
            pass
    if moved or again:
        backend.scrub()
    backend.engine.dispose()


def _rules(settings: Settings) -> RetentionRules:
    disclosures, receipts = settings.retention_disclosures_days, settings.retention_receipts_days
    return RetentionRules(
        disclosures=None if disclosures is None else timedelta(days=disclosures),
        receipts=None if receipts is None else timedelta(days=receipts),
        operations=timedelta(days=settings.retention_operations_days),
    )


def _change(backend: Backend, change: Callable[[Connection], T]) -> T:
    with backend.engine.connect() as connection:
        backend.begin_change(connection)
        info = connection.info
        transaction = info[TRANSACTION] = Transaction(connection)  # as the writer has it, which does not run yet
        try:
            result = transaction.run(change, connection)
            transaction.write()
        finally:
            del info[TRANSACTION]
        backend.commit(connection, ())
        return result
