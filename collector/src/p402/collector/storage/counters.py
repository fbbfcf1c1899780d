"""Spend counters: for every node of the six levels, what each hour cost. They change with the charges, never apart.

A node's counter is the sum of the charges under it; at each level the nodes (the unattributed one included) add up to
the organisation's total.
"""

from __future__ import annotations

from collections.abc import Sequence

from p402.collector.storage.driver import Driver
from p402.vocabulary import Charge

__all__ = ["add_to_counters"]

_ADD = (
    "INSERT INTO spend_hourly VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (organisation, level, node, hour) DO UPDATE SET"
    " cost_nano_usd = spend_hourly.cost_nano_usd + excluded.cost_nano_usd,"
    " charges = spend_hourly.charges + excluded.charges,"
    " unpriced_charges = spend_hourly.unpriced_charges + excluded.unpriced_charges,"
    " input_tokens = spend_hourly.input_tokens + excluded.input_tokens,"
    " output_tokens = spend_hourly.output_tokens + excluded.output_tokens"
)


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
            counted[3] += max(charge.usage.input_tokens, 0)  # a usage that contradicts itself takes nothing away
            counted[4] += max(charge.usage.output_tokens, 0)
    driver.executemany(_ADD, [(*key, *values) for key, values in sums.items()])
