"""Whatever happens, in whatever order: nothing is granted beyond a cap, no hold leaks, and every fact is counted once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, delete

from p402.collector.budgets.definition import BudgetDefinition, read_definition
from p402.collector.pipeline.ports import Outcome
from p402.collector.pipeline.records import Recordable
from p402.collector.storage import (  # noqa: F401 - their tables count too
    budget_tables,
    event_tables,
    policy_tables,
    settlement_tables,
)
from p402.collector.storage.accounts import balance_seen
from p402.collector.storage.budget_rules import BudgetRules
from p402.collector.storage.budgets import BudgetChangeKind, StoredOverride, add_override, apply_budgets, retire_budget
from p402.collector.storage.decisions import Asked, Decisions
from p402.collector.storage.driver import Driver, driver
from p402.collector.storage.leases import GivenBack, LeaseKind, expire_leases, give_back, lease_by_id, release
from p402.collector.storage.tables import metadata
from p402.decisions import DEFAULT_POLICY, Catalogue, Measure, Question, Verdict
from p402.vocabulary import Attribution, Money, Usage
from support.budget_model import HELD, ABudget, AFact, ALease, Model
from support.budgeted import Budgeted, a_call, budgeted
from support.clock import CountingIds
from support.open_books import price_book

T = TypeVar("T")
START = datetime(2026, 5, 31, 17, 0, tzinfo=UTC)  # a Sunday, the last of the month; an hour and a half before in India
SETTLE_WITHIN, GRACE = timedelta(seconds=30), timedelta(hours=1)
KEYS = ("key_1", "key_2")

TREE: Mapping[str, tuple[str, ...]] = {
    "department": ("legal", "sales"),
    "project": ("tender",),
    "client": ("globex",),
    "employee": ("e-1", "e-2"),
    "session": ("s-1", "s-2"),
}
WHO = st.fixed_dictionaries(
    {"organisation": st.just("acme")},
    optional={level: st.sampled_from(nodes) for level, nodes in TREE.items()},
)
CAPS = {
    "cost": st.sampled_from(["0", "0.002", "0.01", "0.05", "1"]),
    "tokens": st.sampled_from(["0", "300", "2000"]),
    "requests": st.sampled_from(["0", "2", "10", "500"]),
    "concurrency": st.sampled_from(["0", "1", "3", "100"]),
}
PERIODS = st.sampled_from(["day", "week", "month", "total"]).map(lambda period: {"period": period}) | st.sampled_from(
    ["60s", "15m", "24h"]
).map(lambda length: {"period": "rolling", "length": length})
SECONDS = st.sampled_from([0, 1, 10, 31, 60, 301, 3_600, 5_400, 86_400, 8 * 86_400])
CRASHES = st.sampled_from([False, False, False, True])
KEY = st.sampled_from(KEYS)


@st.composite
def definitions(draw: st.DrawFn) -> BudgetDefinition:
    """Any budget that can be."""
    level = draw(st.sampled_from(["organisation", *TREE, "request"]))
    measure = draw(st.sampled_from(list(CAPS)))
    nodes = TREE.get(level, ("acme",))
    document = {
        "name": draw(st.sampled_from(["a", "b", "b", "c", "c", "d", "d"])),
        "level": level,
        "node": draw(st.sampled_from([*nodes, "*"])),
        "within": draw(st.fixed_dictionaries({}, optional={name: st.sampled_from(of) for name, of in TREE.items()})),
        "measure": measure,
        "cap": draw(CAPS[measure]),
        "time_zone": draw(st.sampled_from(["UTC", "Asia/Kolkata"])),
        "mode": draw(st.sampled_from(["enforce", "enforce", "observe"])),
        **draw(PERIODS),
    }
    if draw(st.integers(0, 3)):
        document["within"] = {}
    if level == "request":
        document |= {"node": "*", "measure": "cost", "cap": draw(CAPS["cost"])}
    if document["measure"] == "concurrency":
        document.pop("length", None)
        document["period"] = "total"
    return read_definition(document)


def empty(connection: Connection) -> None:
    """Delete all rows."""
    for table in reversed(metadata.sorted_tables):
        connection.execute(delete(table))


class Crashed(Exception):
    """The process died before the commit."""


class Budgets(RuleBasedStateMachine):
    """Acme's budgets, beside a model of them."""

    folder: Path
    """Of the books of all examples: making a database takes long, emptying it does not."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.model = Model()
        self.reported: list[tuple[Recordable, AFact]] = []
        self.now = START
        self.ids = CountingIds()
        self.open()
        self.runner.run(self.books.write(empty))

    def open(self) -> None:
        self.books: Budgeted = self.runner.run(self.stack.enter_async_context(budgeted(self.folder)))
        self.decisions = Decisions(
            self.books.rules,
            lambda *_: DEFAULT_POLICY,
            Catalogue(()),
            price_book(),
            self.ids,
        )

    def teardown(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()

    def change(self, change: Callable[[Connection], T], *, crashes: bool) -> T | None:
        """Run a change; one that crashes, does all its work before."""

        def run(connection: Connection) -> T:
            done = change(connection)
            if crashes:
                raise Crashed
            return done

        try:
            return self.runner.run(self.books.write(run))
        except Crashed:
            return None

    # --- rules change

    @initialize(cap=st.sampled_from(["0.005", "0.02"]), period=st.sampled_from(["month", "total"]))
    def begin(self, cap: str, period: str) -> None:
        document = {"name": "a", "level": "organisation", "node": "acme", "cap": cap, "period": period}
        self.put(read_definition(document), crashes=False)

    @rule(data=st.data(), what=st.sampled_from(["put", "cap", "cap", "override", "retire"]), crashes=CRASHES)
    def change_rules(self, data: st.DataObject, what: str, *, crashes: bool) -> None:
        known = data.draw(st.sampled_from(list(self.model.budgets.values()))) if self.model.budgets else None
        if known is None or what == "put":
            self.put(data.draw(definitions()), crashes=crashes)
        elif what == "cap":
            cap = data.draw(CAPS[known.definition.measure.value])
            self.put(read_definition({**known.definition.to_json(), "cap": cap}), crashes=crashes)
        elif what == "override":
            amount, seconds = data.draw(st.sampled_from([1, 1_000_000])), data.draw(SECONDS)
            self.override(known, amount, self.now + timedelta(seconds=seconds + 1), crashes=crashes)
        else:
            self.retire(known.definition.name, crashes=crashes)

    def put(self, definition: BudgetDefinition, *, crashes: bool) -> None:
        done = self.change(
            lambda connection: apply_budgets(connection, "acme", [definition], actor="", at=self.now), crashes=crashes
        )
        if done is None or done[0].kind is BudgetChangeKind.UNCHANGED:
            return
        known = self.model.budgets.get(definition.name)
        if known is not None and not done[0].fresh_accounts:
            known.definition = definition
        else:
            query = f"SELECT id FROM budgets WHERE name = '{definition.name}' AND retired_at IS NULL"
            [(id_,)] = self.books.kept.rows(query)
            self.model.budgets[definition.name] = ABudget(id_, definition, len(self.model.facts))

    def retire(self, name: str, *, crashes: bool) -> None:
        def change(connection: Connection) -> bool:
            retire_budget(connection, "acme", name, actor="", at=self.now, may=lambda _: True)
            return True

        if self.change(change, crashes=crashes):
            del self.model.budgets[name]

    def override(self, budget: ABudget, amount: int, until: datetime, *, crashes: bool) -> None:
        override = StoredOverride(
            id=self.ids("over", self.now),
            amount=amount,
            owner="cfo",
            reason="quarter end",
            created_at=self.now,
            expires_at=until,
        )

        def change(connection: Connection) -> Any:
            return add_override(connection, "acme", budget.definition.name, override, actor="", may=lambda _: True)

        if self.change(change, crashes=crashes) is not None:
            budget.overrides.append((amount, until))

    # --- money is held

    @rule(
        who=WHO,
        kind=st.sampled_from([LeaseKind.LEASE, LeaseKind.LEASE, LeaseKind.DECISION]),
        key=KEY,
        tokens=st.tuples(st.integers(0, 200), st.integers(1, 200)),
        known=st.sampled_from([True, True, True, False]),
        crashes=CRASHES,
    )
    def ask(
        self,
        who: dict[str, str],
        kind: LeaseKind,
        key: str,
        tokens: tuple[int, int],
        *,
        known: bool,
        crashes: bool,
    ) -> None:
        self.decide(who, kind, key, tokens, known=known, crashes=crashes)

    def decide(
        self,
        who: dict[str, str],
        kind: LeaseKind,
        key: str,
        tokens: tuple[int, int],
        *,
        known: bool,
        crashes: bool,
    ) -> None:
        inputs, outputs = tokens
        question = Question(
            attribution=Attribution(**who),
            provider="anthropic",
            model="claude-opus-4-5" if known else "opus-of-tomorrow",
            input_tokens=inputs,
            output_tokens=outputs,
        )
        longest = timedelta(seconds=60 if kind is LeaseKind.LEASE else 300)
        asked = Asked(question=question, kind=kind, key_id=key, longest=longest)
        granted = self.change(lambda connection: self.decisions.ask(connection, asked, self.now), crashes=crashes)
        if granted is None:
            return
        needed = {"tokens": inputs + outputs, "requests": 1, "concurrency": 1}
        if known:
            needed["cost"] = inputs * 5_000 + outputs * 25_000  # $5 and $25 a million tokens
        if not granted.decision.goes_ahead:
            assert self.short(who, needed), granted.decision.rationale
            assert granted.lease_id is None
            return
        assert granted.decision.verdict is Verdict.ALLOW
        assert not self.short(who, needed)
        if granted.lease_id is None:
            assert not [budget for budget, _ in self.model.path(who) if budget.definition.level != "request"]
            return
        amounts = {measure.value: amount for measure, amount in granted.amounts.items()}
        assert all(amount >= needed.get(measure, 0) for measure, amount in amounts.items())
        amounts |= self.watched(who, needed, set(amounts), ahead=kind is LeaseKind.LEASE)
        self.held(granted.lease_id, kind.value, key, who, amounts, longest, granted.expires_at)

    @rule(who=WHO, key=KEY, outputs=st.sampled_from([60, 150]))
    def ask_for_a_lease(self, who: dict[str, str], key: str, outputs: int) -> None:
        self.decide(who, LeaseKind.LEASE, key, (10, outputs), known=True, crashes=False)

    @rule(who=WHO, key=KEY, amount=st.sampled_from([1, 500_000, 9_000_000]), crashes=CRASHES)
    def authorize(self, who: dict[str, str], key: str, amount: int, *, crashes: bool) -> None:
        change = lambda connection: (  # noqa: E731
            self.decisions.authorize(
                connection, Attribution(**who), Money(amount), key, timedelta(seconds=60), self.now
            ),
            connection.exec_driver_sql("SELECT id FROM leases ORDER BY opened_at DESC, id").fetchall(),
        )
        done = self.change(change, crashes=crashes)
        if done is None:
            return
        short, leases = done
        needed = {"cost": amount, "requests": 1, "concurrency": 0, "tokens": 0}
        assert bool(short) == self.short(who, needed, or_nothing_left=True)
        for (id_,) in leases:
            if id_ not in self.model.leases:
                self.held(id_, "authorize", key, who, needed, timedelta(seconds=60), None)

    def short(self, who: Mapping[str, str], needed: Mapping[str, int], *, or_nothing_left: bool = False) -> bool:
        """Whether some budget that is enforced has too little left."""
        for budget, node in self.model.path(who):
            measure = budget.definition.measure.value
            if budget.definition.mode.value != "enforce" or measure not in needed:
                continue
            if budget.definition.level == "request":
                if needed[measure] > budget.cap(self.now) and not or_nothing_left:
                    return True
                continue
            left = budget.cap(self.now) - self.model.taken(budget, node, self.now)
            if needed[measure] > max(left, 0) or (or_nothing_left and left <= 0):
                return True
        return False

    def watched(
        self, who: Mapping[str, str], needed: Mapping[str, int], told: set[str], *, ahead: bool
    ) -> dict[str, int]:
        """What is held for budgets that only observe: what would be, if they were enforced."""
        found: dict[str, int] = {}
        for budget, node in self.model.path(who):
            measure = budget.definition.measure.value
            if budget.definition.level != "request" and measure not in told:
                left = max(0, budget.cap(self.now) - self.model.taken(budget, node, self.now))
                need = needed.get(measure, 0)
                amount = max(need, min(16 * need, left // 32)) if ahead else need
                found[measure] = min(found.get(measure, amount), amount)
        return found

    def held(
        self,
        id_: str,
        kind: str,
        key: str,
        who: Mapping[str, str],
        amounts: Mapping[str, int],
        longest: timedelta,
        expires_at: datetime | None,
    ) -> None:
        """The invariant of admission, and the new lease in the model."""
        for budget, node in self.model.path(who):
            amount = amounts.get(budget.definition.measure.value, 0)
            if budget.definition.mode.value == "enforce" and budget.definition.level != "request" and amount:
                assert self.model.taken(budget, node, self.now) + amount <= budget.cap(self.now), budget
        lease = self.model.opened(id_, kind, key, who, amounts, longest, self.now)
        assert expires_at in (None, lease.expires_at)

    # --- money is spent, and comes back

    @rule(data=st.data(), count=st.integers(1, 3), crashes=CRASHES)
    def charge(self, data: st.DataObject, count: int, *, crashes: bool) -> None:
        calls, facts = [], []
        for _ in range(count):
            lease_id = data.draw(st.sampled_from([None, "lease_of_nobody", *self.model.leases, *self.lively() * 4]))
            lease = self.model.leases.get(lease_id or "")
            who = lease.who if lease and data.draw(st.booleans()) else data.draw(WHO)
            key = lease.key if lease and data.draw(st.integers(0, 3)) else data.draw(KEY)
            held = max([hold.remaining for hold in lease.holds.values()] if lease else [0])
            cost = data.draw(st.sampled_from([None, 0, 1, 100_000, 3_000_000, held, held + 1]))
            tokens = data.draw(st.sampled_from([0, 1, 50, 500]))
            at = self.now - timedelta(seconds=data.draw(SECONDS))
            calls.append(a_call(who, cost=cost, tokens=tokens, at=at, lease=lease_id, key=key))
            amounts = {"cost": cost or 0, "tokens": tokens, "requests": 1}
            facts.append(AFact(who, at, amounts, key, lease_id))
        record = self.books.ledger._record
        if self.change(lambda connection: record(connection, calls, [], [], self.now), crashes=crashes) is not None:
            self.model.charged(facts, self.now)
            self.reported += zip(calls, facts, strict=True)

    @precondition(lambda self: self.reported and self.model.leases)
    @rule(data=st.data(), agrees=st.sampled_from([True, True, False]), crashes=CRASHES)
    def report_again(self, data: st.DataObject, *, agrees: bool, crashes: bool) -> None:
        call, fact = data.draw(st.sampled_from(self.reported))
        lease_id = data.draw(st.sampled_from([*self.model.leases, *self.lively() * 4]))
        key = fact.key if data.draw(st.integers(0, 3)) else data.draw(KEY)
        used = call.charge.usage if agrees else Usage(input_tokens=7, output_tokens=7)
        again = replace(call, lease_id=lease_id, key_id=key, charge=replace(call.charge, usage=used))
        record = self.books.ledger._record
        done = self.change(lambda connection: record(connection, [again], [], [], self.now), crashes=crashes)
        if done is not None:
            same = agrees and key == fact.key
            assert done == [Outcome.REPEATED if same else Outcome.QUARANTINED]
            self.model.told_again(fact, lease_id, key, self.now, agrees=same)

    @precondition(lambda self: self.model.leases)
    @rule(
        data=st.data(),
        missing=st.sampled_from([0, 0, 0, 1]),
        keep=st.dictionaries(st.sampled_from(list(Measure)), st.sampled_from([0, 1, 1_000_000]), max_size=2),
        crashes=CRASHES,
    )
    def give_back(self, data: st.DataObject, missing: int, keep: dict[Measure, int], *, crashes: bool) -> None:
        lease = self.model.leases[data.draw(st.sampled_from([*self.lively(), *self.model.leases]))]

        def change(connection: Connection) -> GivenBack:
            sql = driver(connection)
            found, budgets = lease_by_id(sql, lease.id), self.books.rules.of(sql, "acme", self.now)
            assert found is not None
            return give_back(sql, found, budgets, calls=lease.calls + missing, keep=keep, at=self.now)

        given = self.change(change, crashes=crashes)
        if given is None:
            return
        assert given.missing_calls == missing
        if not missing and lease.state != "closed":
            measures = {budget.id: budget.definition.measure for budget in self.model.budgets.values()}
            self.model.let_go(lease, {id_: keep.get(measures[id_], 0) for id_ in lease.holds if id_ in measures})
        assert given.state.value == lease.state

    @precondition(lambda self: any(lease.state == "unreconciled" for lease in self.model.leases.values()))
    @rule(data=st.data(), crashes=CRASHES)
    def let_go(self, data: st.DataObject, *, crashes: bool) -> None:
        unreconciled = [lease for lease in self.model.leases.values() if lease.state == "unreconciled"]
        lease: ALease = data.draw(st.sampled_from(unreconciled))

        def change(connection: Connection) -> bool:
            found = lease_by_id(driver(connection), lease.id)
            assert found is not None
            release(driver(connection), found, {}, self.now)
            return True

        if self.change(change, crashes=crashes):
            self.model.let_go(lease, {})

    def lively(self) -> list[str]:
        return [lease.id for lease in self.model.leases.values() if lease.state != "closed"]

    # --- time

    @rule(
        what=st.sampled_from(["wait", "look", "holders die", "holders die", "restart"]),
        seconds=SECONDS,
        crashes=CRASHES,
    )
    def time_goes_on(self, what: str, seconds: int, *, crashes: bool) -> None:
        if what == "restart":
            self.runner.run(self.stack.aclose())
            self.open()
        if what in ("wait", "holders die"):
            self.now += timedelta(seconds=seconds if what == "wait" else 400)
        if what in ("look", "holders die"):
            looked = lambda connection: expire_leases(connection, self.now, SETTLE_WITHIN, GRACE)  # noqa: E731
            if self.change(looked, crashes=crashes) is not None:
                self.model.expired(self.now, SETTLE_WITHIN, GRACE)

    # --- what must hold

    @invariant()
    def everything_is_as_it_happened(self) -> None:
        self.runner.run(self.books.database.read(self.compare))

    def compare(self, connection: Connection) -> None:
        sql = driver(connection)
        self.compare_accounts(sql)
        self.compare_balances(sql)
        leases = {id_: (state, calls) for id_, state, calls in sql.execute("SELECT id, state, calls FROM leases")}
        assert leases == {lease.id: (lease.state, lease.calls) for lease in self.model.leases.values()}
        overruns = sql.execute(
            "SELECT budget_id, node, SUM(amount), MIN(amount) FROM overruns GROUP BY 1, 2"
        ).fetchall()
        assert {(id_, node): amount for id_, node, amount, _ in overruns} == +self.model.overruns
        assert all(least > 0 for _, _, _, least in overruns)

    def compare_accounts(self, sql: Driver) -> None:
        in_force = {budget.id: budget for budget in self.model.budgets.values()}
        rows = sql.execute("SELECT budget_id, node, period_start, spent, held, unreconciled FROM budget_accounts")
        for id_, node, start, spent, held, unreconciled in rows:
            assert min(spent, held, unreconciled) >= 0
            assert held == self.model.holding(id_, node, start, "open")
            assert unreconciled == self.model.holding(id_, node, start, "unreconciled")
            if id_ in in_force and not in_force[id_].rolls:
                assert spent == self.model.spent_in(in_force[id_], node, start), in_force[id_]

    def compare_balances(self, sql: Driver) -> None:
        budgets = BudgetRules().of(sql, "acme", self.now)
        for who in (
            Attribution(organisation="acme", department="legal", employee="e-1", session="s-1"),
            Attribution(organisation="acme", department="sales", project="tender", employee="e-2"),
        ):
            for on in budgets.on_path(who):
                budget, seen = self.model.budgets[on.budget.name], balance_seen(sql, on, self.now)
                if budget.definition.level != "request":
                    start = HELD if budget.rolls else budget.start(self.now)
                    assert seen.spent == self.model.spent(budget, on.node, self.now), budget
                    assert seen.held == self.model.holding(budget.id, on.node, start, "open")
                    assert seen.unreconciled == self.model.holding(budget.id, on.node, start, "unreconciled")


def test_no_history_breaks_the_invariants_of_budgets(tmp_path: Path) -> None:
    Budgets.folder = tmp_path
    run_state_machine_as_test(
        Budgets,
        settings=settings(
            deadline=None,
            max_examples=30,
            stateful_step_count=40,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
