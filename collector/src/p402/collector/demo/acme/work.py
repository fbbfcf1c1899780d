"""What people at Acme do in a day: sessions of calls, by the rhythm of a working day (pure; a seed decides).

Each day of each employee has numbers of its own, so a day is the same whichever days come before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import TypeVar
from zoneinfo import ZoneInfo

from p402.collector.demo.acme.people import ORGANISATION, Person, Project
from p402.collector.demo.acme.tasks import PROVIDERS, TASKS, Task
from p402.vocabulary import Attribution, Usage

__all__ = ["ZONE", "Call", "is_working_day", "work_of_day", "working_days"]

T = TypeVar("T")

ZONE = ZoneInfo("Europe/Berlin")
"""Where Acme is."""

_WEEK = (0.96, 1.05, 1.06, 1.02, 0.91, 0.035, 0.02)
"""How much of an ordinary working day is done on each day of the week, Monday first."""
_HOURS = {7: 3, 8: 9, 9: 15, 10: 17, 11: 14, 12: 6, 13: 11, 14: 15, 15: 14, 16: 11, 17: 6, 18: 3, 19: 2, 20: 1}
"""When sessions begin, by hour of the day in Acme's zone."""
_TOKENS_PER_SECOND = 70
_SPREAD = 0.22  # of sizes, around their medians
_RUNAWAYS = {6: "code_completion", 13: "debugging", 19: "contract_analysis", 23: "code_completion"}
"""On which working days of the history, counted from 0, somebody's agent runs in circles, and at what."""
_USUAL = 15  # the weight of a task that a department does every day
_NIGHTLY = {("support", "helpdesk", "classification"): 60, ("engineering", "search", "embedding"): 30}
"""What services do before people come: for whom, what, and how often."""
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a model, as it was wanted."""

    started_at: datetime
    seconds: float
    attribution: Attribution
    task: Task
    model: str
    """That was asked for."""
    usage: Usage
    complexity: int
    data_class: str | None
    luck: float
    """How far the evaluator finds the answer from the model's mean, in standard deviations."""
    is_evaluated: bool
    trace_id: bytes
    span_id: bytes
    request: str
    response: str
    """What the provider's id of the answer ends in."""

    @property
    def ended_at(self) -> datetime:
        """When the answer was complete."""
        return self.started_at + timedelta(seconds=self.seconds)


def is_working_day(day: date) -> bool:
    """Tell whether Acme works."""
    return day.weekday() < 5  # noqa: PLR2004 - Monday to Friday


def working_days(first: date, end: date) -> int:
    """Count the working days from one to another, which is left out."""
    return sum(is_working_day(first + timedelta(days=number)) for number in range((end - first).days))


def work_of_day(seed: int, staff: Sequence[Person], day: date, first_day: date) -> list[Call]:
    """Give the calls of a day in the order in which they end.

    Args:
        seed: the same gives the same.
        staff: everybody.
        day: in Acme's zone.
        first_day: of the history; a few things happen on certain working days of it.
    """
    calls: list[Call] = []
    for person in staff:
        random = Random(f"{seed} {day.toordinal()} {person.id}")
        wanted = person.department.sessions_per_day * person.diligence * _WEEK[day.weekday()]
        for _ in range(int(wanted + random.random())):
            calls += _session(random, person, day)
    if is_working_day(day):
        calls += _nightly(seed, day)
        if (task := _RUNAWAYS.get(working_days(first_day, day))) is not None:
            calls += _runaway(seed, staff, day, TASKS[task])
    return sorted(calls, key=lambda call: (call.ended_at, call.span_id))


def _session(random: Random, person: Person, day: date) -> Iterator[Call]:
    department = person.department
    task = TASKS[_weighted(random, department.tasks)]
    project = random.choices(department.projects, [each.weight for each in department.projects])[0]
    model = random.choices(task.choices, [choice.share for choice in task.choices])[0].model
    at = _beginning(random, day)
    whose = Attribution(ORGANISATION, department.id, *_project(random, project), person.id, _id("sess", random, at))
    for number in range(random.randint(*task.calls)):
        call = _call(random, task, model, whose, at, first=number == 0, data_class=department.data_class)
        yield call
        at = call.ended_at + timedelta(seconds=task.pause_seconds * random.lognormvariate(0, 0.5))


def _project(random: Random, project: Project) -> tuple[str | None, str | None]:
    """Give project and client of a session; somebody forgets to say for what they work now and then."""
    if random.random() < 0.02:  # noqa: PLR2004 - two in a hundred
        return None, None
    return project.id, random.choice(project.clients) if project.clients else None


def _nightly(seed: int, day: date) -> Iterator[Call]:
    """Sort the tickets that came overnight, and index what changed: services, which are nobody's and have no sessions."""
    random = Random(f"{seed} {day.toordinal()} nightly")
    for (department, project, task_id), count in _NIGHTLY.items():
        task = TASKS[task_id]
        at = datetime.combine(day, time(4, 30), ZONE).astimezone(UTC)
        for _ in range(count):
            whose = Attribution(ORGANISATION, department, project)
            call = _call(random, task, task.choices[0].model, whose, at, first=True, data_class=None)
            yield call
            at = call.ended_at + timedelta(seconds=2)


def _runaway(seed: int, staff: Sequence[Person], day: date, task: Task) -> Iterator[Call]:
    """Let an agent run in circles: each call takes all that was said before along."""
    random = Random(f"{seed} {day.toordinal()} runaway")
    person = random.choice([each for each in staff if each.department.tasks.get(task.id, 0) >= _USUAL])
    at = datetime.combine(day, time(14, random.randrange(10, 50)), ZONE).astimezone(UTC)
    department = person.department
    project = department.projects[0]
    client = project.clients[0] if project.clients else None
    whose = Attribution(ORGANISATION, department.id, project.id, client, person.id, _id("sess", random, at))
    for number in range(36):
        call = _call(
            random, task, task.choices[0].model, whose, at, first=number == 0, data_class=department.data_class
        )
        grown = replace(call.usage, input_tokens=call.usage.input_tokens + 1_500 * number)
        yield replace(call, usage=grown, is_evaluated=False)
        at = call.ended_at + timedelta(seconds=random.uniform(5, 25))


def _call(
    random: Random, task: Task, model: str, whose: Attribution, at: datetime, *, first: bool, data_class: str | None
) -> Call:
    inputs = round(task.input_tokens * random.lognormvariate(0, _SPREAD))
    outputs = round(task.output_tokens * random.lognormvariate(0, _SPREAD))
    cached = 0 if first else round(inputs * task.cached * random.uniform(0.8, 1.1))
    writes = round(inputs * task.cached) if first and PROVIDERS[model] == "anthropic" else 0
    usage = Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        cache_read_input_tokens=cached,
        cache_write_input_tokens=writes,
        reasoning_output_tokens=round(outputs * task.reasoning),
    )
    return Call(
        started_at=at,
        seconds=round(0.8 + outputs / _TOKENS_PER_SECOND * random.uniform(0.8, 1.3), 3),
        attribution=whose,
        task=task,
        model=model,
        usage=usage,
        complexity=random.randint(*task.complexity),
        data_class=data_class,
        luck=random.gauss(0, 1),
        is_evaluated=random.random() < task.evaluated,
        trace_id=random.randbytes(16),
        span_id=random.randbytes(8),
        request=_id("req", random, at),
        response="".join(random.choices(_LETTERS, k=24)),
    )


def _beginning(random: Random, day: date) -> datetime:
    hour = _weighted(random, _HOURS)
    return (datetime.combine(day, time(hour), ZONE) + timedelta(seconds=random.uniform(0, 3600))).astimezone(UTC)


def _weighted(random: Random, weights: Mapping[T, int]) -> T:
    return random.choices(list(weights), list(weights.values()))[0]


def _id(prefix: str, random: Random, at: datetime) -> str:
    """Make an id as `p402.vocabulary.new_id` does, of chance that comes from the seed."""
    number = (int(at.timestamp() * 1000) << 80) | random.getrandbits(80)
    return f"{prefix}_" + "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))
