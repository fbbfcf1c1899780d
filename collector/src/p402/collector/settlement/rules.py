"""How each organisation is settled, when, and for how much (pure).

::

    off         nothing                         the log is signed, and nobody else vouches for its time
    anchor      a transfer of zero to oneself   the memo bounds from above when the log existed
    pay         the metered amount              to the payee of the configuration; too little is carried over
    reference   a transfer of zero to oneself   the usage is paid elsewhere, and the statement says where
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from p402.collector.settlement.ports import Covered, Standing
from p402.receipts import PaidElsewhere, SettlementMode, SettlementStatement, mpp_payment_id
from p402.vocabulary import NANO_PER_MICRO, Money

__all__ = ["PaymentPlace", "SettlementRule", "SettlementRules", "Triggers", "make_statement"]

_LONGEST = timedelta(days=1)
_PAUSE_AFTER_FAILURE = timedelta(minutes=10)  # a reverted transaction costs its fee; a person should look first


@dataclass(frozen=True, slots=True)
class SettlementRule:
    """How an organisation is settled."""

    mode: SettlementMode
    payee: str | None
    """Of mode *pay*."""
    minimum_payout: Money
    payee_url: str | None = None
    """Where the payee speaks MPP; None: it is paid without being asked."""
    allow_private: bool = False
    """Whether that place may be inside the own network."""


@dataclass(frozen=True, slots=True)
class SettlementRules:
    """The rule of every organisation; None: it is not settled."""

    default: SettlementRule | None
    own: Mapping[str, SettlementRule | None] = field(default_factory=dict)

    def of(self, organisation: str) -> SettlementRule | None:
        """Give the rule of an organisation."""
        return self.own.get(organisation, self.default)

    @property
    def payees(self) -> frozenset[str]:
        """Everybody who may be paid."""
        rules = (self.default, *self.own.values())
        return frozenset(rule.payee for rule in rules if rule is not None and rule.payee is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggers:
    """When a settlement is due: whatever comes first, at least daily while the log grows."""

    interval: timedelta
    receipts: int
    accrued: Money

    def fire(self, standing: Standing, now: datetime) -> bool:
        """Tell whether an organisation is to be settled now.

        Receipts are settled soon. Whatever else stands in the log, a settlement's own entry included, waits for them, or a
        day.
        """
        if not standing.new_entries:
            return False
        last = standing.last_planned_at
        if standing.flush_at is not None and (last is None or standing.flush_at > last):
            return True
        if last is None:
            return True
        if standing.last_failed and now < last + max(self.interval, _PAUSE_AFTER_FAILURE):
            return False
        if now >= last + _LONGEST:
            return True
        enough = standing.receipts >= self.receipts or standing.accrued >= self.accrued
        return standing.receipts > 0 and (enough or now >= last + self.interval)


@dataclass(frozen=True, slots=True)
class PaymentPlace:
    """Where settlements are paid."""

    chain_id: int
    token: str
    payer: str


def make_statement(
    covered: Covered, rule: SettlementRule, place: PaymentPlace, settlement_id: str
) -> SettlementStatement:
    """State what a settlement is about, and what it pays.

    In mode *pay*, whole micro-dollars are paid (floor), and what is left over is carried into the next settlement; so is
    everything while it is less than the minimum payout, or while something speaks against paying. A payee that speaks MPP
    wants a memo of its own: what it is paid stands among what is paid elsewhere, and the transfer of the statement is an anchor.
    """
    carry_in = covered.previous.statement.carry_out if covered.previous else Money(0)
    payee, amount, carry_out = place.payer, 0, carry_in
    elsewhere = () if rule.mode is SettlementMode.ANCHOR else covered.paid_elsewhere
    if rule.mode is not SettlementMode.ANCHOR:
        carry_out = carry_in + covered.accrued - sum((item.amount for item in covered.paid_elsewhere), Money(0))
        micro, rest = carry_out.to_micro_usd()
        if rule.payee is not None and not covered.unresolved and micro > 0 and carry_out >= rule.minimum_payout:
            carry_out = rest
            if rule.payee_url is None:
                payee, amount = rule.payee, micro
            else:
                payment = mpp_payment_id(rule.payee, settlement_id)
                own = PaidElsewhere(kind="mpp", id=payment, amount=Money(micro * NANO_PER_MICRO))
                elsewhere = tuple(sorted((*elsewhere, own), key=lambda item: (item.kind, item.id)))
    return SettlementStatement(
        version=1 if rule.mode is SettlementMode.ANCHOR else 2,
        mode=rule.mode,
        settlement_id=settlement_id,
        organisation=covered.organisation,
        checkpoint=covered.checkpoint,
        chain_id=place.chain_id,
        token=place.token,
        payer=place.payer,
        payee=payee,
        amount_micro_usd=amount,
        period_from=covered.since,
        period_to=covered.until,
        accrued=covered.accrued,
        carry_in=carry_in,
        carry_out=carry_out,
        paid_elsewhere=elsewhere,
        prev_settlement=covered.previous.settlement_id if covered.previous else None,
    )
