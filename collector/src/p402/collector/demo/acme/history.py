"""Feeds Acme's past through the collector, in order, with a clock that is set: everything is real but the time.

The collector is built as for serving, but does not listen. Its clock goes on by steps: what ended in a step is taken in by
the intake that both doors use, so it is decoded, priced, counted against budgets, charged and followed as ever; then sessions
that have become due are sealed, anomalies flagged, budgets looked at. People act at their times too.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from p402.collector.api.auth import Principal
from p402.collector.demo.acme.days import Step, steps_of_day
from p402.collector.demo.acme.desk import Desk
from p402.collector.demo.acme.work import ZONE
from p402.collector.receiver.intake import PROTOBUF
from p402.collector.settings import Settings
from p402.collector.storage.charge_rows import from_millis
from p402.collector.storage.log_tables import logs
from p402.collector.storage.tables import charges
from p402.collector.wiring import Collector, build
from p402.vocabulary import Attribution, Permanent

__all__ = ["DAYS", "SEED", "History", "NotAcme", "SetClock", "feed"]

DAYS, SEED = 35, 402
"""Of a history, unless something else is asked for."""

_PLANNED = 4  # days that are worked out ahead
_SERVICE = Principal(None, frozenset({"ingest"}), Attribution())
_MARK = "acme.json"


class NotAcme(Permanent):
    """The data folder is in use for something else."""


class SetClock:
    """A clock that stands still until it is set."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        """Give the time that it was set to."""
        return self.at


@dataclass(frozen=True, slots=True)
class History:
    """How far the history goes that is in a data folder."""

    seed: int
    first_day: str
    """In Acme's zone, ISO 8601."""
    through: str
    """Until when everything was fed, RFC 3339."""
    charges: int
    """The number of the last charge."""

    @classmethod
    def of(cls, data_dir: Path) -> History | None:
        """Read what was fed into a folder; None if nothing was."""
        file = data_dir / _MARK
        return cls(**json.loads(file.read_text())) if file.exists() else None

    def keep(self, data_dir: Path) -> None:
        """Write it beside the data."""
        (data_dir / _MARK).write_text(json.dumps(asdict(self)) + "\n")


async def feed(settings: Settings, seed: int, days: int, now: datetime, said: Callable[[str], None]) -> History:
    """Feed the days up to now, or what is missing of them since the folder was fed before.

    Args:
        settings: of the collector; nothing is settled, whatever they say of it is for later.
        seed: the same gives the same calls.
        days: how many, today included; of a new history.
        now: until when.
        said: is told how far it is.

    Raises:
        NotAcme: if the database has something else in it.
    """
    known = History.of(settings.data_dir)
    if known is None:
        first = now.astimezone(ZONE).date() - timedelta(days=days - 1)
        begin = datetime.combine(first, time(), ZONE).astimezone(UTC)
    else:
        seed, first, begin = known.seed, date.fromisoformat(known.first_day), datetime.fromisoformat(known.through)
    clock = SetClock(begin)
    collector = build(settings, clock)
    try:
        newest = await collector.database.read(_newest)
        if newest.charge and known is None:
            raise NotAcme(
                f"{settings.data_dir} holds data, but not Acme's, or only a part of it. Choose another folder."
            )
        clock.at = max(begin, newest.at)  # after a demo that served, nothing comes before what came then
        await _feed_days(collector, clock, seed, first, list(_days(clock.at, now)), said)
        newest = await collector.database.read(_newest)
    finally:
        await collector.database.close()
    history = History(seed, first.isoformat(), clock.at.isoformat(), newest.charge)
    history.keep(settings.data_dir)
    return history


async def _feed_days(
    collector: Collector,
    clock: SetClock,
    seed: int,
    first: date,
    ahead: Sequence[tuple[date, datetime, datetime]],
    said: Callable[[str], None],
) -> None:
    """Feed days while another process works out what comes on the next ones: this one has enough to do."""
    loop, feeder = asyncio.get_running_loop(), _Feed(collector, clock, Desk(collector, seed))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as planner:
        plans = deque[asyncio.Future[list[Step]]]()
        for number, (day, *_) in enumerate(ahead):
            for later, begin, end in ahead[number + len(plans) : number + _PLANNED]:
                plans.append(loop.run_in_executor(planner, steps_of_day, seed, later, first, begin, end))
            await feeder.day(day, await plans.popleft())
            said(f"{day}: {feeder.calls:,} calls")


class _Newest(NamedTuple):
    """What a database has from last."""

    charge: int
    """The number of the last charge; 0 if there is none."""
    at: datetime
    """When something was recorded or written into the log last."""


def _newest(connection: Connection) -> _Newest:
    charge, recorded = connection.execute(select(func.max(charges.c.seq), func.max(charges.c.recorded_at))).one()
    appended = connection.execute(select(func.max(logs.c.appended_at))).scalar()
    return _Newest(charge or 0, from_millis(max(recorded or 0, appended or 0)))


def _days(begin: datetime, end: datetime) -> Iterator[tuple[date, datetime, datetime]]:
    """Give the days between two moments in Acme's zone, each with when it begins and ends."""
    while begin < end:
        day = begin.astimezone(ZONE).date()
        over = min(end, datetime.combine(day + timedelta(days=1), time(), ZONE).astimezone(UTC))
        yield day, begin, over
        begin = over


class _Feed:
    """Takes one day after another in."""

    def __init__(self, collector: Collector, clock: SetClock, desk: Desk) -> None:
        self.calls = 0
        self._collector = collector
        self._clock = clock
        self._desk = desk

    async def day(self, day: date, steps: Sequence[Step]) -> None:
        """Feed a day, from where the clock stands."""
        await self._desk.morning(day, self._clock.at)
        for step in steps:
            self._clock.at = step.end
            for request in step.traces:
                await self._collector.intake.traces(PROTOBUF, request, _SERVICE)
            if step.evaluations is not None:
                await self._collector.intake.logs(PROTOBUF, step.evaluations, _SERVICE)
            self.calls += step.calls
            while await self._collector.sealer.catch_up():
                pass
            if step.calls:
                await self._collector.watch.catch_up()
            await self._desk.at(step.end)
            await self._collector.log_keeper.catch_up()
        await self._collector.usage.catch_up()
