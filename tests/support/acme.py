"""Acme's generated calls, priced by hand: what the ledger must come to, worked out without it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import cache

from p402.collector.demo.acme.days import rules_by_department
from p402.collector.demo.acme.people import people
from p402.collector.demo.acme.spans import Made, make
from p402.collector.demo.acme.work import ZONE, work_of_day
from p402.collector.pricing import load_price_book
from p402.vocabulary import Level

PRICES = {  # published list prices in nano-USD a token: input, output, cache read, cache write
    "claude-opus-4-5": (5_000, 25_000, 500, 6_250),
    "claude-sonnet-4-5": (3_000, 15_000, 300, 3_750),
    "claude-haiku-4-5": (1_000, 5_000, 100, 1_250),
    "gpt-4o": (2_500, 10_000, 1_250, 0),
    "gpt-4o-mini": (150, 600, 75, 0),
    "gpt-4.1-mini": (400, 1_600, 100, 0),
    "gemini-2.5-pro": (1_250, 10_000, 125, 0),
    "gemini-2.5-flash": (300, 2_500, 30, 0),
    "text-embedding-3-small": (20, 0, 20, 0),
}


def cost_of(made: Made) -> int:
    """What a call costs, in nano-USD; no call is so long that it has another price."""
    usage = made.call.usage
    assert usage.input_tokens < 200_000
    plain = usage.input_tokens - usage.cache_read_input_tokens - usage.cache_write_input_tokens
    inputs, outputs, reads, writes = PRICES[made.decision.model]
    return (
        plain * inputs
        + usage.output_tokens * outputs
        + usage.cache_read_input_tokens * reads
        + usage.cache_write_input_tokens * writes
    )


@cache
def made_on(seed: int, day: date, first_day: date) -> tuple[Made, ...]:
    """The calls of a day that were made, in the order in which they ended."""
    rules = rules_by_department(load_price_book(), datetime.combine(day, datetime.min.time(), ZONE))
    refused: set[str | None] = set()
    found = []
    for call in work_of_day(seed, people(seed), day, first_day):
        made = make(call, rules)
        if not made.decision.goes_ahead:
            refused.add(call.attribution.session)
        elif call.attribution.session not in refused:
            found.append(made)
    return tuple(found)


def made_until(seed: int, first_day: date, now: datetime) -> Iterator[Made]:
    """All calls that had ended by a moment."""
    day = first_day
    while day <= now.astimezone(ZONE).date():
        yield from (made for made in made_on(seed, day, first_day) if made.call.ended_at < now)
        day += timedelta(days=1)


def spend_by(level: Level, calls: list[Made]) -> Counter[str | None]:
    """What each node of a level spent."""
    spent: Counter[str | None] = Counter()
    for made in calls:
        spent[getattr(made.call.attribution, level)] += cost_of(made)
    return spent
