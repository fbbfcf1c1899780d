"""The accounts of budgets that a transaction knows, and what its changes add to them (`storage.transaction`)."""

from __future__ import annotations

from dataclasses import dataclass

from p402.collector.budgets.budget import Balance
from p402.collector.budgets.path import AccountKey
from p402.collector.budgets.period import HELD
from p402.collector.storage.driver import Driver
from p402.vocabulary import Permanent

__all__ = ["Accounts", "AmountTooLarge", "Change"]

_CHANGE = (
    "UPDATE budget_accounts SET spent = spent + ?, held = held + ?, unreconciled = unreconciled + ?"
    " WHERE budget_id = ? AND node = ? AND period_start = ?"
)
_MOST = 2**63 - 1  # that a column holds


class AmountTooLarge(Permanent):
    """An account would hold more than can be counted."""


@dataclass(slots=True)
class Change:
    """What to add to an account; negative to take away. Once it was given to `Accounts` it stays as it is."""

    spent: int = 0
    held: int = 0
    unreconciled: int = 0


class Accounts:
    """The accounts that a transaction knows and what it adds to them; implements `storage.transaction.Memory`."""

    def __init__(self) -> None:
        self.balances: dict[AccountKey, Balance] = {}
        self.rolling: dict[tuple[int, str], tuple[int, Balance]] = {}
        """Sums of the accounts of rolling budgets since a start, by budget and node."""
        self._kept: dict[AccountKey, Change] = {}
        self._added: dict[AccountKey, Change] = {}

    def learn(self, key: AccountKey, balance: Balance) -> None:
        """Take in what the table says, which does not have yet what is to be written."""
        for changes in (self._kept, self._added):
            if (change := changes.get(key)) is not None:
                balance = _plus(balance, change, 1)
        self.balances[key] = balance

    def add(self, key: AccountKey, change: Change) -> None:
        """Add to an account.

        Raises:
            AmountTooLarge: if it cannot hold so much.
        """
        added = _sum(self._added, key, change)
        balance = self._show(key, change, 1)
        spent, held, unreconciled = balance or (added.spent, added.held, added.unreconciled)
        if spent > _MOST or held > _MOST or unreconciled > _MOST:
            raise AmountTooLarge("An account of a budget would hold more than 9 223 372 036 854 775 807.")

    def _show(self, key: AccountKey, change: Change, times: int) -> Balance | None:
        if (known := self.balances.get(key)) is not None:
            known = self.balances[key] = _plus(known, change, times)
        if self.rolling and (sums := self.rolling.get(key[:2])) and (key[2] == HELD or key[2] >= sums[0]):
            self.rolling[key[:2]] = sums[0], _plus(sums[1], change, times)
        return known

    def reopened(self, budget_id: int, node: str, start: int) -> None:
        """Read anew what was opened."""
        self.balances.pop((budget_id, node, start), None)
        self.rolling.pop((budget_id, node), None)

    def look_again(self) -> None:
        """Read everything anew, after it was written and changed in the table."""
        self.balances.clear()
        self.rolling.clear()

    def keep(self) -> None:
        """Count what was added to what is to be written."""
        if not self._kept:
            self._kept, self._added = self._added, self._kept
            return
        for key, change in self._added.items():
            _sum(self._kept, key, change)
        self._added.clear()

    def undo(self) -> None:
        """Take back what was added."""
        for key, change in self._added.items():
            self._show(key, change, -1)
        self._added.clear()

    def forget(self) -> None:
        """Forget everything."""
        self.look_again()
        self._added.clear()
        self._kept.clear()

    def write(self, sql: Driver) -> None:
        """Write what is kept, in an order that does not depend on chance."""
        if self._kept:
            changes = sorted(self._kept.items(), key=lambda item: item[0])
            self._kept.clear()
            rows = [(change.spent, change.held, change.unreconciled, *key) for key, change in changes]
            sql.executemany(_CHANGE, rows)


def _sum(changes: dict[AccountKey, Change], key: AccountKey, change: Change) -> Change:
    """Add a change to those of an account; it may be kept as it is, so nobody changes it any more."""
    found = changes.get(key)
    if found is not None:
        change = Change(found.spent + change.spent, found.held + change.held, found.unreconciled + change.unreconciled)
    changes[key] = change
    return change


def _plus(balance: Balance, change: Change, times: int) -> Balance:
    spent, held, unreconciled = balance
    return Balance(spent + times * change.spent, held + times * change.held, unreconciled + times * change.unreconciled)
