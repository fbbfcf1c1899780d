"""Which keys sign a log: each from a size on, the last one now, and one before it for as long as they overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection, insert, select, update

from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.log_tables import log_keys
from p402.collector.storage.tables import checkpoints
from p402.receipts import Signer, open_checkpoint
from p402.receipts.errors import CheckpointUntrusted
from p402.vocabulary import Permanent

__all__ = ["AvailableKeys", "LogKey", "LogOfAnotherKey", "keys_of_log", "replace_keys", "retire_keys", "signing_keys"]


class LogOfAnotherKey(Permanent):
    """The keys at hand did not sign the log so far; a log with a key of nobody's would convince nobody."""


class AvailableKeys(Protocol):
    """The keys that this collector has for a log."""

    @property
    def origin(self) -> str:
        """The name of the log."""
        ...

    @property
    def newest(self) -> Signer:
        """The key that was made last."""
        ...

    def find(self, vkey: str) -> Signer | None:
        """Give the signer with a public half, None if it is not here."""
        ...

    def all(self) -> Sequence[Signer]:
        """Give every key, the oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class LogKey:
    """A key of a log, and the sizes of the checkpoints that it signs."""

    vkey: str
    since_size: int
    until_size: int | None
    """The last size; None while it signs."""
    sign_until: datetime | None
    """When a key that has a successor stops to sign."""
    last_size: int | None = None
    """Of the last checkpoint for which whoever has all keys needs this one: the last without its successor's signature.
    Larger ones it signs for those who have it alone. None for the current key."""


def keys_of_log(connection: Connection, organisation: str) -> list[LogKey]:
    """Give all keys of a log, the oldest first; none before its first entry."""
    query = select(log_keys).where(log_keys.c.organisation == organisation).order_by(log_keys.c.since_size)
    rows = connection.execute(query).all()
    ends = [*(row.since_size - 1 for row in rows[1:]), None]
    return [
        LogKey(
            row.vkey,
            row.since_size,
            row.until_size,
            None if row.sign_until is None else from_millis(row.sign_until),
            end,
        )
        for row, end in zip(rows, ends, strict=False)  # there may be none
    ]


def signing_keys(
    connection: Connection, organisation: str, size: int, keys: AvailableKeys, at: datetime
) -> list[Signer]:
    """Give the signers of a log's next checkpoint, the current key last.

    A log without entries begins with the newest key. One that was begun before its keys were noted has the key that
    signed its checkpoint.

    Raises:
        LogOfAnotherKey: if the log's current key is not at hand, as when collectors do not share their keys.
    """
    noted = [key for key in keys_of_log(connection, organisation) if key.until_size is None]
    if not noted:
        current = keys.newest if size == 0 else _key_of_checkpoint(connection, organisation, size, keys)
        row = {"organisation": organisation, "vkey": current.verifier_key, "since_size": 1}
        connection.execute(insert(log_keys).values(row))
        return [current]
    found = keys.find(noted[-1].vkey)
    if found is None:
        raise _of_another_key(organisation)
    overlapping = [key.vkey for key in noted[:-1] if key.sign_until is not None and key.sign_until > at]
    return [*(signer for signer in map(keys.find, overlapping) if signer is not None), found]


def replace_keys(connection: Connection, organisation: str, vkey: str, since_size: int, sign_until: datetime) -> None:
    """Note the key that signs from a size on. Those before it sign until a time, or until the earlier one they have."""
    until = to_millis(sign_until)
    place = (log_keys.c.organisation == organisation, log_keys.c.until_size.is_(None))
    longer = log_keys.c.sign_until.is_(None) | (log_keys.c.sign_until > until)
    connection.execute(update(log_keys).where(*place, longer).values(sign_until=until))
    row = {"organisation": organisation, "vkey": vkey, "since_size": since_size}
    connection.execute(insert(log_keys).values(row))


def retire_keys(connection: Connection, organisation: str, last_size: int, at: datetime) -> None:
    """Note the last size that keys have signed whose overlap is over."""
    place = (log_keys.c.organisation == organisation, log_keys.c.until_size.is_(None))
    over = log_keys.c.sign_until <= to_millis(at)
    connection.execute(update(log_keys).where(*place, over).values(until_size=last_size))


def _key_of_checkpoint(connection: Connection, organisation: str, size: int, keys: AvailableKeys) -> Signer:
    query = select(checkpoints.c.note).where(checkpoints.c.organisation == organisation, checkpoints.c.size == size)
    note: str = connection.execute(query).scalar_one()
    for signer in keys.all():
        try:
            open_checkpoint(note, [signer.verifier_key])
        except CheckpointUntrusted:
            continue
        return signer
    raise _of_another_key(organisation)


def _of_another_key(organisation: str) -> LogOfAnotherKey:
    return LogOfAnotherKey(
        f"The log of {organisation} was signed by another key, or under another name, than this collector's. Give every "
        "collector of this database the same P402_SIGNING_KEY_FILE, with the keys beside it that `p402 log rotate` made, "
        "and the same P402_RECEIPT_ORIGIN, those that the log began with."
    )
