"""Whether an API key is still what it was when it was read, asked inside a change.

What a change does for a key is then committed before the key is revoked, or not at all, whoever revokes it. All else that
can change of a key is its employee's name, which may be erased. In a transaction of the writer a key is read once, since
nobody else can change it meanwhile (`storage.transaction`).
"""

from __future__ import annotations

from p402.collector.storage.driver import Driver
from p402.collector.storage.transaction import Transaction, transaction_of
from p402.vocabulary import Permanent, Transient

__all__ = ["KeyRenamed", "KeyRevoked", "keys_changed", "require_valid_key"]

_READ = "SELECT employee FROM api_keys WHERE id = ? AND revoked_at IS NULL"


class KeyRevoked(Permanent):
    """The key was revoked since it was last read."""


class KeyRenamed(Transient):
    """The key's employee has another name since it was last read."""


class _Valid:
    """The employees of keys that a transaction has found valid; implements `storage.transaction.Memory`."""

    def __init__(self) -> None:
        self.known: dict[str, str | None] = {}

    def keep(self) -> None:
        """Do nothing: they are as in the database."""

    undo = keep

    def write(self, sql: Driver) -> None:
        """Do nothing either."""

    def forget(self) -> None:
        self.known.clear()


def require_valid_key(sql: Driver, key_id: str, employee: str | None) -> None:
    """Insist that a key is valid and bound to an employee, or to none, as it was.

    Raises:
        KeyRevoked: if it is not valid.
        KeyRenamed: if it is bound to another name.
    """
    transaction = transaction_of(sql)
    known = transaction.memory(_Valid).known
    if key_id not in known:
        rows = transaction.look(_READ, (key_id,))
        if not rows:
            raise KeyRevoked("The API key was revoked. `p402 keys list` shows the keys that are valid.")
        known[key_id] = rows[0][0]
    if known[key_id] != employee:
        raise KeyRenamed("The API key has changed. Try again.")


def keys_changed(sql: Driver) -> None:
    """Note inside a change that it has changed keys."""
    if isinstance(sql, Transaction):
        sql.memory(_Valid).forget()
