"""From the results of a batch to its charges: at the batch's price, once each, however often they are downloaded."""

from __future__ import annotations

from pathlib import Path

from anthropic import Anthropic
from openai import OpenAI
from opentelemetry.sdk.trace import TracerProvider

from p402.instrumentation import attribution
from p402.instrumentation.instrumentor import P402Instrumentor
from support.batch_providers import batch_providers
from support.collector import running_collector

# Opus 4.5 in a batch: 2.50 in, 12.50 out. 1,000 * 2.50 + 101 * 12.50 = 3,762.5 millionths, and 12.5 more for the second.
# gpt-4o in a batch: 1.25 in, 5 out. 1,000 * 1.25 + 100 * 5 = 1,750 millionths.
# o3 in a batch: 1 in, 4 out. 50 * 1 + 5 * 4 = 70 millionths. text-embedding-3-small has no batch price in the list.
EXPECTED = {
    ("claude-opus-4-5-20251101", "batch", "0.0037625"),
    ("claude-opus-4-5-20251101", "batch", "0.003775"),
    ("gpt-4o-2024-08-06", "batch", "0.00175"),
    ("o3-2025-04-16", "batch", "0.00007"),
    ("text-embedding-3-small", "batch", None),
}


def test_each_result_of_a_batch_is_charged_once_at_the_batchs_price(tmp_path: Path) -> None:
    with batch_providers() as served, running_collector(tmp_path) as collector:
        for _ in range(2):  # as two programs would
            environment = {"P402_COLLECTOR_URL": collector.url, "P402_ORGANISATION": "acme"}
            P402Instrumentor().instrument(tracer_provider=TracerProvider(), environment=environment)
            with attribution(department="legal"):
                with Anthropic(api_key="k", base_url=served.url) as client:
                    assert len(list(client.messages.batches.results("msgbatch_1"))) == 3
                assert OpenAI(api_key="k", base_url=f"{served.url}/v1").files.content("file-1").read()
            P402Instrumentor().uninstrument()
        charges = collector.get("/v1/charges", organisation="acme")["charges"]
    assert len(charges) == len(EXPECTED)
    assert {(one["response_model"], one["service_tier"], one["cost_usd"]) for one in charges} == EXPECTED
    assert {one["department"] for one in charges} == {"legal"}
    [embedding] = [one for one in charges if one["cost_usd"] is None]
    assert "service tier 'batch'" in embedding["unpriced_reason"]
