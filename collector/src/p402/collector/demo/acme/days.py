"""A day at Acme as it reaches the collector: steps of time, each with the requests that come in it (pure).

Each step is some twenty minutes long; while nobody works, up to an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random

from p402.collector.demo.acme.people import people
from p402.collector.demo.acme.rules import policies
from p402.collector.demo.acme.spans import Made, evaluations_request, make, traces_request
from p402.collector.demo.acme.work import Call, work_of_day
from p402.collector.pricing import PriceBook, load_price_book
from p402.collector.routing.catalogue import load_catalogue
from p402.collector.routing.schema import policy_of_definition
from p402.decisions import DEFAULT_POLICY, RateCard, Rules

__all__ = ["Step", "rules_by_department", "steps_of_day"]

_AT_ONCE = 512  # spans in a request, as our instrumentation sends them
_SHORTEST, _LONGEST = timedelta(minutes=14), timedelta(minutes=26)
_QUIET = timedelta(hours=1)
_STILL_FOLLOWED = 3  # short steps after the last call, in which its session comes to its end


@dataclass(frozen=True, slots=True)
class Step:
    """What comes from the end of the step before to the end of this one."""

    end: datetime
    calls: int
    traces: Sequence[bytes]
    """Requests with the spans of calls that ended."""
    evaluations: bytes | None
    """A request with what an evaluator found about them."""


def steps_of_day(seed: int, day: date, first_day: date, begin: datetime, end: datetime) -> list[Step]:
    """Give the steps of a day, from one moment of it to another.

    Args:
        seed: the same gives the same.
        day: in Acme's zone.
        first_day: of the history.
        begin: what ended before was taken in before.
        end: what ends later is not known yet.
    """
    rules = rules_by_department(load_price_book(), begin)
    calls = [call for call in work_of_day(seed, people(seed), day, first_day) if begin <= call.ended_at < end]
    steps: list[Step] = []
    given_up: set[str | None] = set()
    place = 0
    for at in _ends([call.ended_at for call in calls], begin, end, Random(f"{seed} {day.toordinal()} steps")):
        first = place
        while place < len(calls) and calls[place].ended_at < at:
            place += 1
        made = _made(calls[first:place], rules, given_up)
        traces = [traces_request(made[number : number + _AT_ONCE]) for number in range(0, len(made), _AT_ONCE)]
        found = [each for each in made if each.score is not None]
        steps.append(Step(at, len(made), traces, evaluations_request(found) if found else None))
    assert place == len(calls), "every call of the day was taken"
    return steps


def _made(calls: Sequence[Call], rules: Callable[[str], Rules], given_up: set[str | None]) -> list[Made]:
    """Make calls; whoever is refused one gives the session up."""
    found = []
    for call in calls:
        if call.attribution.session not in given_up:
            made = make(call, rules)
            found.append(made)
            if not made.decision.goes_ahead:
                given_up.add(call.attribution.session)
    return found


def rules_by_department(prices: PriceBook, at: datetime) -> Callable[[str], Rules]:
    """Give the rules of each department, as decisions at a time apply them."""
    catalogue, known = load_catalogue(None), policies()

    def card(provider: str, model: str, service_tier: str | None) -> RateCard | None:
        found = prices.card(provider, model, at, service_tier)
        return found if isinstance(found, RateCard) else None

    rules = {name: Rules(policy_of_definition(written, name, 1), catalogue, card) for name, written in known.items()}
    others = Rules(DEFAULT_POLICY, catalogue, card)
    return lambda department: rules.get(department, others)


def _ends(busy: Sequence[datetime], begin: datetime, end: datetime, random: Random) -> list[datetime]:
    """Give the ends of the steps between two moments; ``busy`` are those at which something happens."""
    ends: list[datetime] = []
    at, place, quiet = begin, 0, 0
    while at < end:
        soon = at + random.uniform(0, 1) * (_LONGEST - _SHORTEST) + _SHORTEST
        upcoming = busy[place] if place < len(busy) else end
        if upcoming >= soon and quiet >= _STILL_FOLLOWED:
            soon = max(soon, min(at + _QUIET, upcoming))
        at = min(end, soon)
        quiet += 1
        while place < len(busy) and busy[place] < at:
            place, quiet = place + 1, 0
        ends.append(at)
    return ends
