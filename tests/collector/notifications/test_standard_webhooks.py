"""What is sent is what the receivers' own library verifies."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from p402.collector.notifications.events import StoredEvent, message_for_people, webhook_body
from p402.collector.notifications.retry import TRIES, pause_before_retry
from p402.collector.notifications.signature import signed_headers

OLD, NEW = (b"o" * 32, b"n" * 24)
EVENT = StoredEvent(
    "evt_1",
    1,
    "anomaly.detected",
    "acme",
    {"summary": "Session revue-é has cost $12.", "cost_usd": "12"},
    datetime(2026, 5, 15, 9, 0, tzinfo=UTC),
)


def secret(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


def test_a_signed_body_is_accepted_by_the_receivers_library() -> None:
    body = webhook_body(EVENT)
    headers = signed_headers("evt_1", datetime.now(UTC), body, [OLD])
    assert Verifier(secret(OLD)).verify(body, headers) == {
        "type": "anomaly.detected",
        "timestamp": "2026-05-15T09:00:00.000Z",
        "organisation": "acme",
        "data": {"summary": "Session revue-é has cost $12.", "cost_usd": "12"},
    }


def test_while_a_secret_is_replaced_both_verify() -> None:
    body = webhook_body(EVENT)
    headers = signed_headers("evt_1", datetime.now(UTC), body, [OLD, NEW])
    for key in (OLD, NEW):
        assert Verifier(secret(key)).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(secret(b"x" * 32)).verify(body, headers)


@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp", "body"])
def test_nothing_that_was_signed_can_be_changed(changed: str) -> None:
    body, now = webhook_body(EVENT), datetime.now(UTC)
    headers = signed_headers("evt_1", now, body, [OLD])
    other = {"webhook-id": "evt_2", "webhook-timestamp": str(int(now.timestamp()) - 1)}
    if changed == "body":
        body = body.replace(b"12", b"13")
    else:
        headers[changed] = other[changed]
    with pytest.raises(WebhookVerificationError):
        Verifier(secret(OLD)).verify(body, headers)


def test_the_body_is_the_same_bytes_at_each_try() -> None:
    assert webhook_body(EVENT) == webhook_body(EVENT)
    assert json.loads(webhook_body(EVENT))["data"] == EVENT.payload


def test_people_read_the_summary_first() -> None:
    title, text = message_for_people(EVENT)
    assert title == "P402 Meter: anomaly.detected"
    assert text.splitlines() == ["Session revue-é has cost $12.", "", "cost usd: 12", "organisation: acme"]


def test_pauses_grow_fourfold_and_last_about_a_day() -> None:
    pauses = [pause_before_retry(left, lambda: 0.5).total_seconds() for left in range(TRIES - 1, 0, -1)]
    assert pauses == [15, 60, 240, 960, 3840, 15_360, 61_440]
    assert all(longer == 4 * shorter for shorter, longer in pairwise(pauses))
    assert 22 < sum(pauses) / 3600 < 23


def test_chance_moves_a_pause_by_a_quarter_at_most() -> None:
    assert pause_before_retry(TRIES - 1, lambda: 0.0).total_seconds() == 11.25
    assert pause_before_retry(TRIES - 1, lambda: 0.999_999).total_seconds() == pytest.approx(18.75, abs=0.001)
