"""What is behind, as people read it: the limits are those of the alerts, and every advice has its section in the runbook."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p402.collector.dashboard.runbook import read_runbook, sections_of
from p402.collector.health.behind import Behind, Queue, Unanchored
from p402.collector.health.verdicts import State, Verdict, in_words, verdicts

NOTHING = Queue(0, 0.0)
WELL = Behind(
    followers={"sessions": 0, "anomalies": 0, "usage": 12},
    forwarding={"default": NOTHING},
    deliveries=NOTHING,
    settlement=Unanchored(NOTHING, 0, 0),
    sessions=NOTHING,
    exports=NOTHING,
    checkpoint_seconds=100.0,
    disk_free_bytes=50 << 30,
)
HOUR = 3600.0


def one(behind: Behind | None, name: str) -> Verdict:
    return next(verdict for verdict in verdicts(behind, 2 * HOUR) if verdict.name == name)


def test_a_collector_that_keeps_up_needs_nobody() -> None:
    found = verdicts(WELL, 2 * HOUR)
    assert {verdict.state for verdict in found} == {State.WELL}
    assert not [verdict for verdict in found if verdict.advice]


@pytest.mark.parametrize(
    ("changed", "name", "state", "said"),
    [
        ({"followers": {"sessions": 3_000}}, "Receipts", State.CATCHING_UP, "3,000 charges"),
        ({"followers": {"anomalies": 10_001}}, "Watch for anomalies", State.LOOK, "10,001 charges"),
        ({"followers": {"usage": 10_001}}, "Sums for these pages", State.LOOK, "10,001 charges"),
        ({"forwarding": {"jaeger": Queue(5, 30)}}, "Forwarding to jaeger", State.WELL, "5 spans"),
        ({"forwarding": {"jaeger": Queue(5, 200)}}, "Forwarding to jaeger", State.CATCHING_UP, "for 3 min"),
        ({"forwarding": {"jaeger": Queue(1, 301)}}, "Forwarding to jaeger", State.LOOK, "1 span to be sent on"),
        ({"deliveries": Queue(2, 2 * HOUR)}, "Deliveries of events", State.LOOK, "2 deliveries due"),
        ({"sessions": Queue(9, HOUR)}, "Sessions to seal", State.LOOK, "9 sessions over"),
        ({"exports": Queue(1, 2 * HOUR)}, "Exports", State.LOOK, "1 export to be written"),
        ({"settlement": None}, "Settlement", State.WELL, "switched off"),
        ({"settlement": Unanchored(Queue(4, HOUR), 1, 0)}, "Settlement", State.WELL, "4 receipts not anchored yet; 1 under way"),
        ({"settlement": Unanchored(Queue(4, 3 * HOUR), 0, 0)}, "Settlement", State.LOOK, "4 receipts"),
        ({"settlement": Unanchored(NOTHING, 0, 1)}, "Settlement", State.LOOK, "1 payment whether"),
        ({"checkpoint_seconds": None}, "Checkpoints", State.WELL, "no log"),
        ({"checkpoint_seconds": 4 * HOUR}, "Checkpoints", State.LOOK, "4 h ago"),
        ({"disk_free_bytes": 1 << 20}, "Disk", State.LOOK, "0.0 GB free"),
    ],
)  # fmt: skip
def test_what_is_behind_is_told_in_words(changed: dict[str, object], name: str, state: State, said: str) -> None:
    found = one(replace(WELL, **changed), name)  # type: ignore[arg-type] # each is of its field
    assert found.state is state
    assert said in found.said
    assert (found.advice is not None) == (state is State.LOOK)
    if found.advice:
        assert found.runbook in {section.anchor for section in read_runbook()}


def test_a_database_that_is_away_is_all_there_is_to_say() -> None:
    [found] = verdicts(None, HOUR)
    assert (found.name, found.state) == ("Storage", State.LOOK)
    assert found.runbook in {section.anchor for section in read_runbook()}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(8.9, "8 s"), (300, "5 min"), (12_000, "3 h 20 min"), (7200, "2 h"), (90_000, "1 day"), (200_000, "2 days")],
)
def test_how_long_is_told_in_the_unit_that_matters(seconds: float, said: str) -> None:
    assert in_words(seconds) == said


def test_the_runbook_is_shown_as_it_is_written_and_nothing_in_it_is_taken_for_markup() -> None:
    text = (
        "# Top\n\nOne *two* `a<b>` [below](#p402x) and [a file](../x.md).\n\n"
        "### P402X\n\n1. First\n   goes on.\n2. `x`\n\n| a | b |\n|---|---|\n| <i> | c |\n"
    )
    top, below = sections_of(text)
    assert (top.level, top.title, below.anchor) == (1, "Top", "p402x")
    assert top.content == ('<p>One <em>two</em> <code>a&lt;b&gt;</code> <a href="#p402x">below</a> and a file.</p>')
    assert "<ol><li>First goes on.</li><li><code>x</code></li></ol>" in below.content
    assert '<td class="wrap">&lt;i&gt;</td>' in below.content
