"""Several collectors on one database: what holds for one, holds for all of them together."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from p402.collector.storage.keys import Keys
from p402.receipts import NO_PREVIOUS, leaf_hash
from p402.vocabulary import Attribution
from support.clock import CountingIds, FakeClock
from support.open_books import OpenBooks, open_books
from support.otlp import MAY_2026, ASpan

CALLS, COST = 200, 264_235_000
LEVELS = ("organisation", "department", "project", "client", "employee", "session")
SEED = 402


def reports() -> list[list[ASpan]]:
    """Batches in which every call comes several times, from our span and from another one around it."""
    chosen = random.Random(SEED)
    spans = []
    for number in range(1, CALLS + 1):
        ids = {"trace_id": number.to_bytes(16, "big"), "started_ns": MAY_2026 + number % 3 * 3_600_000_000_000}
        inner, outer = number.to_bytes(8, "big"), (number + CALLS).to_bytes(8, "big")
        extra = {
            "gen_ai.response.id": f"msg_{number}",
            "p402.session": f"s-{number % 7}",
            "p402.department": f"d-{number % 2}",
        }
        ours = ASpan.of({**extra, "p402.outer_span.scope": "vendor.sdk"}, span_id=inner, parent_span_id=outer, **ids)
        spans += [ours] * 3 + [ASpan.of(extra, span_id=outer, scope="vendor.sdk", **ids)] * 2
    chosen.shuffle(spans)
    return [spans[at : at + 20] for at in range(0, len(spans), 20)]


async def test_the_same_calls_sent_to_two_collectors_at_once_are_charged_once(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_books(tmp_path, clock) as one, open_books(tmp_path, clock) as two:

        async def send(books: OpenBooks, batches: list[list[ASpan]]) -> int:
            answers = await asyncio.gather(*(books.send(*batch) for batch in batches))
            return sum(answer["charged"] for answer in answers)

        async def seal(books: OpenBooks) -> None:
            for _ in range(10):
                await books.sealer.catch_up()

        batches = reports()
        again = batches[::-1]
        charged = await asyncio.gather(
            send(one, batches), send(two, batches), send(two, again), send(one, again), seal(one), seal(two)
        )
        assert sum(count for count in charged if count is not None) == CALLS
        assert one.value("SELECT count(*) FROM charges") == CALLS
        assert one.value("SELECT sum(cost_nano_usd) FROM charges") == CALLS * COST
        for level in LEVELS:
            assert one.rows(f"SELECT sum(cost_nano_usd), sum(charges) FROM spend_hourly WHERE level = '{level}'") == [
                (CALLS * COST, CALLS)
            ]
            counted = one.rows(f"SELECT node, sum(cost_nano_usd) FROM spend_hourly WHERE level = '{level}' GROUP BY 1")
            summed = f"SELECT {level}, sum(cost_nano_usd) FROM charges JOIN scopes ON scope_id = scopes.id GROUP BY 1"
            assert sorted(counted) == sorted(one.rows(summed))

        clock.advance(hours=1)
        await asyncio.gather(*(books.sealer.catch_up() for books in (one, two, one, two)))
        clock.advance(hours=1)
        await asyncio.gather(*(books.sealer.catch_up() for books in (one, two, one, two)))
        entries = one.entries()
        assert [entry["seq"] for entry in entries] == list(range(len(entries)))
        assert sum(entry["charges"]["count"] for entry in entries) == CALLS
        bodies = [bytes(body) for (body,) in one.rows("SELECT body FROM log_entries ORDER BY seq")]
        assert [entry["prev"] for entry in entries] == [
            NO_PREVIOUS.hex(),
            *(leaf_hash(body).hex() for body in bodies[:-1]),
        ]
        assert one.value("SELECT max(size) FROM checkpoints") == len(entries)


async def test_a_key_that_one_collector_revokes_is_useless_at_the_other_at_once(tmp_path: Path) -> None:
    now = FakeClock().now()
    async with open_books(tmp_path) as one, open_books(tmp_path) as two:
        key, secret = await Keys(one.database, CountingIds()).create("ci", frozenset({"ingest"}), Attribution(), now)
        assert await Keys(two.database, CountingIds()).find(secret) == key
        await Keys(one.database, CountingIds()).revoke(key.id, now)
        assert await Keys(two.database, CountingIds()).find(secret) is None
