"""What Acme's people do while somebody watches: small calls, a few a second, as lines for the demo's driver.

They are a tenth of the size of the history's calls or less: a few a second all day long would otherwise cost more than the
hundred people do in a week. Two sessions are staged, because they show what the gate is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Any

from p402.collector.demo.acme.people import ORGANISATION, Person, people
from p402.collector.demo.acme.rules import SESSION_CAP_PROJECT
from p402.collector.demo.acme.tasks import TASKS
from p402.vocabulary import new_id

__all__ = ["Order", "blocked", "downgraded", "orders"]

Order = Mapping[str, Any]
"""A call, as `p402.instrumentation.demo.driver` takes it."""

_SESSIONS_AT_ONCE = 3
_INPUT, _OUTPUT = (300, 1_200), (60, 240)  # tokens
_LONGEST_SESSION = 5  # calls


def orders(seed: int, now: datetime) -> Iterator[Order]:
    """Give one call after another, without end, of a few sessions at a time."""
    random, staff = Random(f"{seed} {now.isoformat()} live"), people(seed)
    open_sessions: list[Iterator[Order]] = []
    while True:
        while len(open_sessions) < _SESSIONS_AT_ONCE:
            open_sessions.append(_session(random, staff, now))
        session = random.choice(open_sessions)
        order = next(session, None)
        if order is None:
            open_sessions.remove(session)
        else:
            yield order


def downgraded(now: datetime) -> list[Order]:
    """Give a session in which Marketing asks a premium model, which its policy does not let it have."""
    whose = {
        "organisation": ORGANISATION,
        "department": "marketing",
        "project": "spring-campaign",
        "employee": "e-2003",
        "session": new_id("sess", now),
        "task_type": "content_generation",
    }
    return [{**whose, "model": "claude-opus-4-5", "input_tokens": 1_200, "output_tokens": 300}]


def blocked(now: datetime) -> list[Order]:
    """Give a session whose agent runs in circles until its cap refuses it."""
    whose = {
        "organisation": ORGANISATION,
        "department": "research",
        "project": SESSION_CAP_PROJECT,
        "employee": "e-7004",
        "session": new_id("sess", now),
        "task_type": "code_completion",
    }
    call = {"model": "claude-opus-4-5", "input_tokens": 4_000, "output_tokens": 16_000, "most_tokens": 16_000}
    return [{**whose, **call}] * 5


def _session(random: Random, staff: Sequence[Person], now: datetime) -> Iterator[Order]:
    person = random.choices(staff, [each.diligence * each.department.sessions_per_day for each in staff])[0]
    department = person.department
    task = TASKS[random.choices(list(department.tasks), list(department.tasks.values()))[0]]
    model = random.choices(task.choices, [choice.share for choice in task.choices])[0].model
    project = random.choices(department.projects, [each.weight for each in department.projects])[0]
    whose = {
        "organisation": ORGANISATION,
        "department": department.id,
        "project": project.id,
        "client": random.choice(project.clients) if project.clients else None,
        "employee": person.id,
        "session": new_id("sess", now),
        "task_type": task.id,
        "data_class": department.data_class,
    }
    for _ in range(random.randint(2, _LONGEST_SESSION)):
        sizes = {"input_tokens": random.randint(*_INPUT), "output_tokens": random.randint(*_OUTPUT)}
        yield {**whose, **sizes, "model": model}
