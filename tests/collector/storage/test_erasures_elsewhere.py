"""Erasing a person goes as far as their names do: reviews, comparisons, rules, events, spans that wait."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from p402.collector.pipeline.records import Forwarded
from p402.collector.receiver.otlp_decode import decode_traces
from p402.collector.storage.driver import driver
from p402.collector.storage.erasure_people import people_of
from p402.collector.storage.forwards import keep_for_forwarding
from p402.vocabulary import Attribution
from support.otlp import ASpan, request_of
from support.personal import PersonalBooks, call, personal, tables_with

__all__ = ["personal"]

NOW = datetime(2026, 5, 15, 9, 0, tzinfo=UTC)


async def written_about(personal: PersonalBooks, employee: str, session: str, key: str) -> None:
    """A lease, a decision and an event about somebody."""
    levels = json.dumps({"employee": employee, "session": session})
    payload = json.dumps({"employee": employee, "session": session, "summary": f"A call of {session}, a legal hold."})
    for statement in (
        (
            "INSERT INTO leases (id, kind, state, key_id, organisation, attribution, calls, opened_at, expires_at, changed_at)"
            f" VALUES ('{key}', 'lease', 'open', '', 'acme', '{levels}', 0, 0, 0, 0)"
        ),
        (
            "INSERT INTO decisions (id, organisation, key_id, idempotency_key, decided_at, question, verdict, code, rationale,"
            f" model) VALUES ('{key}', 'acme', '{key}', '{session}', 0, '{levels}', 'allow', 'ok', 'About {session}.', 'm')"
        ),
        (
            "INSERT INTO events (id, organisation, type, dedupe_key, payload, at)"
            f" VALUES ('{key}', 'acme', 't', '{key}', '{payload}', 0)"
        ),
    ):
        personal.books.kept.run(statement)


def written_with(personal: PersonalBooks, key: str) -> str:
    return json.dumps(
        [
            personal.books.rows(f"SELECT {columns} FROM {table} WHERE id = '{key}'")
            for table, columns in (
                ("leases", "attribution"),
                ("decisions", "question, rationale, idempotency_key"),
                ("events", "payload"),
            )
        ]
    )


async def test_what_is_written_about_others_who_use_a_session_of_that_name_stays(personal: PersonalBooks) -> None:
    await personal.sealed(call("ada.l", "stand-up"), call("bob", "stand-up"))
    await written_about(personal, "ada.l", "stand-up", "x_1")
    await written_about(personal, "bob", "stand-up", "x_2")
    for span in (call("ada.l", "stand-up"), call("bob", "stand-up")):
        waiting = Forwarded(request_of([span]), 1)
        await personal.books.database.write(lambda sql, body=waiting: keep_for_forwarding(driver(sql), body, NOW))  # type: ignore[misc]
    before = written_with(personal, "x_2")
    erasure = await personal.erase("ada.l")
    assert written_with(personal, "x_2") == before
    assert "stand-up" not in (hers := written_with(personal, "x_1"))
    assert erasure.pseudonym in hers
    [(of_ada,), (of_bob,)] = personal.books.rows("SELECT body FROM forward_batches ORDER BY seq")
    assert b"stand-up" not in bytes(of_ada)
    assert (b"stand-up" in bytes(of_bob), b"bob" in bytes(of_bob)) == (True, True)


async def test_an_idempotency_key_that_a_client_goes_on_using_does_not_stop_what_is_left_of_an_erasure(
    personal: PersonalBooks,
) -> None:
    await personal.sealed(call("ada.l", "held.1", project="tender"), call("ada.l", "free.1"))
    hold = await personal.hold(project="tender")
    asked_again = "UPDATE decisions SET key_id = 'key_1', idempotency_key = 'report of ada.l' WHERE id = 'x_{}'"
    await written_about(personal, "ada.l", "free.1", "x_1")
    personal.books.kept.run(asked_again.format(1))
    erasure = await personal.erase("ada.l")
    await written_about(personal, erasure.pseudonym, "later.1", "x_2")
    personal.books.kept.run(asked_again.format(2))
    await personal.release(hold)
    assert personal.books.rows("SELECT state FROM erasures") == [("done",)]
    assert tables_with(personal.books.kept, ["ada.l", "held.1", "free.1"]) == {}
    assert personal.books.rows("SELECT idempotency_key FROM decisions") == [(None,), (None,)]


async def test_a_session_that_is_called_like_a_word_is_not_taken_out_of_sentences_about_others(
    personal: PersonalBooks,
) -> None:
    await personal.sealed(call("ada.l", "legal"), call("bob", "b.1"))
    await written_about(personal, "ada.l", "legal", "x_1")
    await written_about(personal, "bob", "b.1", "x_2")
    before = written_with(personal, "x_2")
    await personal.erase("ada.l")
    assert written_with(personal, "x_2") == before
    assert "legal" not in written_with(personal, "x_1")


async def test_late_spans_that_are_no_calls_are_sent_on_without_names(personal: PersonalBooks) -> None:
    await personal.sealed(call("ada.l", "a.1"), call("bob", "a.2"), call("ada.l", "a.2"))
    await personal.erase("ada.l")
    root = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.usage.input_tokens": None,
        "gen_ai.usage.output_tokens": None,
    }
    silent = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}
    for extra in (root, silent):
        span = ASpan.of({"p402.employee": "ada.l", "p402.session": "a.1", **extra})
        bobs = ASpan.of({"p402.employee": "bob", "p402.session": "a.2", **extra})
        ours = ASpan.of({"p402.employee": "ada.l", "p402.session": "a.2", **extra})
        body = request_of([span, bobs, ours])
        await personal.books.ingest.ingest(decode_traces(body).spans, Attribution(), None, Forwarded(body, 3))
    assert personal.books.value("SELECT COUNT(*) FROM set_aside WHERE reason = 'no_usage'") == 3
    assert tables_with(personal.books.kept, ["ada.l", "a.1"]) == {}
    for (body,) in personal.books.rows("SELECT body FROM forward_batches"):
        assert (bytes(body).count(b"a.2"), bytes(body).count(b"bob")) == (1, 1)


def reconciled(personal: PersonalBooks, keys: dict[str, dict[str, str]]) -> None:
    personal.books.kept.run(
        'INSERT INTO reconciliations (id, organisation, provider, "begin", "end", time_zone, keys, documents, totals, "rows",'
        f" created_at, created_by) VALUES ('rec_1', 'acme', 'openai', '', '', 'UTC', '{json.dumps(keys)}', '[]', '{{}}', '[]',"
        " 0, '')"
    )


async def test_names_go_from_what_was_reconciled_too(personal: PersonalBooks) -> None:
    await personal.sealed(call("ada.l", "a.1"))
    reconciled(personal, {"key-1": {"organisation": "acme", "employee": "ada.l"}, "key-2": {"employee": "bob"}})
    erasure = await personal.erase("ada.l")
    [(keys,)] = personal.books.rows("SELECT keys FROM reconciliations")
    assert json.loads(keys) == {
        "key-1": {"organisation": "acme", "employee": erasure.pseudonym},
        "key-2": {"employee": "bob"},
    }


async def test_people_who_are_named_in_rules_events_and_comparisons_only_are_found(personal: PersonalBooks) -> None:
    budget = json.dumps({"level": "department", "node": "legal", "owner": "in.budget"})
    policy = json.dumps({"rules": [{"within": {"employee": "in.policy"}}]})
    event = json.dumps({"level": "employee", "node": "in.event", "detail": {"employee": {"before": "was.in.event"}}})
    for statement in (
        (
            "INSERT INTO budgets (id, organisation, name, definition, made_at, changed_at)"
            f" VALUES (7, 'acme', 'b', '{budget}', 0, 0)"
        ),
        (
            "INSERT INTO overrides (id, budget_id, amount, owner, reason, created_at, expires_at)"
            " VALUES ('ovr_1', 7, 1, 'in.override', '', 0, 0)"
        ),
        (
            "INSERT INTO policies (organisation, department, version, definition, created_at)"
            f" VALUES ('acme', '', 1, '{policy}', 0)"
        ),
        f"INSERT INTO events (id, organisation, type, dedupe_key, payload, at) VALUES ('e', 'acme', 't', 'k', '{event}', 0)",
    ):
        personal.books.kept.run(statement)
    reconciled(personal, {"key-1": {"employee": "in.comparison"}})
    await written_about(personal, "in.lease", "s", "x_1")
    found = await personal.books.database.read(lambda connection: people_of(connection, "acme"))
    named = {"in.budget", "in.override", "in.policy", "in.event", "was.in.event", "in.comparison", "in.lease"}
    assert named <= found
    assert await personal.books.database.read(lambda connection: people_of(connection, "initech")) == set()


async def test_closing_a_session_closes_the_erased_ones_and_those_of_others_who_took_the_name(
    personal: PersonalBooks,
) -> None:
    await personal.sealed(call("ada.l", "daily"))
    await personal.erase("ada.l")
    assert await personal.books.sealer.close("acme", "daily") == 0
    assert tables_with(personal.books.kept, ["daily"]) == {}, "nobody has a session of that name"
    await personal.books.send(call("bob", "daily"), call("ada.l", "daily"))
    await personal.books.sealer.catch_up()
    assert await personal.books.sealer.close("acme", "daily") == 2
    closed = {name for (name,) in personal.books.rows("SELECT session FROM closings")}
    assert closed == {name for (name,) in personal.books.rows("SELECT session FROM scopes")}


# --- holds
