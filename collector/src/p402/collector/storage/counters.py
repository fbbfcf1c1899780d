"""Spend counters: for every node of the six levels, what each hour cost. They change with the charges, never apart.

A node's counter is the sum of the charges under it; at each level the nodes (the unattributed one included) add up to
the organisation's total.
"""

from __future__ import annotations

from collections.abc import Sequence

from p402.collector.storage.driver import Driver
from p402.vocabulary import Charge

__all__ = ["ADD_TO_HOUR", "HOURLY_SUMS", "add_to_counters", "tokens_counted"]

_SUMS = ("cost_nano_usd", "charges", "unpriced_charges", "input_tokens", "output_tokens")
HOURLY_SUMS = ", ".join(_SUMS)
"""The columns of a counter, after its organisation, level, node and hour."""
ADD_TO_HOUR = (
    f"INSERT INTO spend_hourly (organisation, level, node, hour, {HOURLY_SUMS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (organisation, level, node, hour) DO UPDATE SET "
    + ", ".join(f"{name} = spend_hourly.{name} + excluded.{name}" for name in _SUMS)
)


def tokens_counted(column: str) -> str:
    """Give the SQL of what a count of a charge's usage adds to sums: a usage that contradicts itself takes nothing away."""
    return f"CASE WHEN {column} > 0 THEN {column} ELSE 0 END"


def add_to_counters(driver: Driver, charges: Sequence[Charge]) -> None:
    """Add new charges to the counters of every level, in the hour in which each call began (UTC)."""
    sums: dict[tuple[str, str, str, int], list[int]] = {}
    for charge in charges:
        hour = int(charge.started_at.timestamp()) // 3600
        organisation = charge.attribution.organisation or ""
        for level, node in charge.attribution:
            counted = sums.setdefault((organisation, level, node or "", hour), [0, 0, 0, 0, 0])
            counted[0] += charge.cost.nano_usd if charge.cost else 0
            counted[1] += 1
            counted[2] += charge.cost is None
            counted[3] += max(charge.usage.input_tokens, 0)  # as in `tokens_counted`
            counted[4] += max(charge.usage.output_tokens, 0)
    driver.executemany(ADD_TO_HOUR, [(*key, *values) for key, values in sums.items()])
