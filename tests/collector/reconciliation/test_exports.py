"""Each export that providers give, read into the same lines. Shapes and column names are those of their documentation."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any

import pytest

from p402.collector.reconciliation.lines import ExportUnreadable, InvoiceLine, LineKind, ProviderExport, model_key
from p402.collector.reconciliation.read import read_export
from p402.vocabulary import Money

DAY = date(2026, 10, 3)
BEGUN = 1_790_985_600  # 2026-10-03T00:00:00Z
OPENAI_CSV = (
    "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,line_item,"
    "user_id,api_key_id,project_id,organization_id\n"
)
ANTHROPIC_CSV = (
    "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,"
    "inference_geo,speed,api_key_id,api_key_status\n"
)


def read(document: Any) -> ProviderExport:
    return read_export(document.encode() if isinstance(document, str) else json.dumps(document).encode())


def page(*results: dict[str, Any], more: bool = False, **times: Any) -> dict[str, Any]:
    bucket = {"object": "bucket", **(times or {"start_time": BEGUN, "end_time": BEGUN + 86_400})}
    return {"object": "page", "data": [{**bucket, "results": list(results)}], "has_more": more, "next_page": None}


def line(model: str | None, kind: LineKind = LineKind.ANY, **fields: Any) -> InvoiceLine:
    return InvoiceLine(day=DAY, model=model, kind=kind, **fields)


def test_openai_usage_counts_cached_input_apart() -> None:
    result = {
        "object": "organization.usage.completions.result",
        "input_tokens": 1000,
        "input_cached_tokens": 800,
        "output_tokens": 500,
        "num_model_requests": 5,
        "model": "gpt-4o-2024-08-06",
        "api_key_id": "key_1",
    }
    export = read(page(result))
    assert (export.provider, export.shape, export.names_models) == ("openai", "usage", True)
    assert export.lines == (
        line("gpt-4o", LineKind.INPUT, tokens=200, requests=5, key="key_1"),
        line("gpt-4o", LineKind.CACHE_READ, tokens=800, key="key_1"),
        line("gpt-4o", LineKind.OUTPUT, tokens=500, key="key_1"),
    )


def test_openai_costs_are_numbers_or_strings_and_say_what_they_are_for() -> None:
    def cost(value: Any, item: str | None) -> dict[str, Any]:
        return {"object": "organization.costs.result", "amount": {"value": value, "currency": "usd"}, "line_item": item}

    export = read(
        page(
            cost(0.06, "gpt-4o-2024-08-06, cached input"),
            cost("0.003835980000000000000000000000", "gpt-5-nano, input_tokens"),
            cost(1.25, "gpt-4o-mini"),
            cost(2, "Web search tool calls"),
        )
    )
    assert export.lines == (
        line("gpt-4o", LineKind.CACHE_READ, amount=Money.parse("0.06")),
        line("gpt-5-nano", LineKind.INPUT, amount=Money.parse("0.00383598")),
        line("gpt-4o-mini", amount=Money.parse("1.25")),
        line(None, LineKind.OTHER, amount=Money.parse("2")),
    )
    assert export.quantum_nano_usd == 10  # eight decimals are the finest


def test_openai_s_csv_of_costs_may_count_tokens_and_has_days_without_any() -> None:
    empty = f"{BEGUN},{BEGUN + 86_400},2026-10-03T00:00:00+00:00,2026-10-04T00:00:00+00:00,,,,,,,,,\n"
    row = f'{BEGUN},,2026-10-03T00:00:00,,0.5,usd,1000,tokens,"gpt-5-nano, input_tokens",,key_1,proj_a,org\n'
    export = read(OPENAI_CSV + empty + row)
    assert export.lines == (line("gpt-5-nano", LineKind.INPUT, tokens=1000, amount=Money.parse("0.5"), key="key_1"),)


def test_anthropic_s_usage_report_tells_both_kinds_of_cache_writes() -> None:
    result = {
        "uncached_input_tokens": 1500,
        "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
        "cache_read_input_tokens": 200,
        "output_tokens": 500,
        "api_key_id": None,
        "workspace_id": "wrkspc_1",
        "model": "claude-sonnet-4-20250514",
        "service_tier": "standard",
    }
    export = read(page(result, starting_at="2026-10-03T00:00:00Z", ending_at="2026-10-04T00:00:00Z"))
    counts = {item.kind: item.tokens for item in export.lines}
    assert counts == {
        LineKind.INPUT: 1500,
        LineKind.CACHE_READ: 200,
        LineKind.CACHE_WRITE: 500,
        LineKind.CACHE_WRITE_1H: 1000,
        LineKind.OUTPUT: 500,
    }
    assert {(item.day, item.model, item.key) for item in export.lines} == {(DAY, "claude-sonnet-4", "wrkspc_1")}


def test_anthropic_s_cost_report_counts_cents() -> None:
    result = {
        "amount": "123.78912",
        "currency": "USD",
        "cost_type": "tokens",
        "model": "claude-opus-4-5",
        "token_type": "cache_creation.ephemeral_1h_input_tokens",
    }
    search = {"amount": "1000", "currency": "USD", "cost_type": "web_search", "model": None, "token_type": None}
    export = read(page(result, search, starting_at="2026-10-03T00:00:00Z"))
    assert export.lines == (
        line("claude-opus-4-5", LineKind.CACHE_WRITE_1H, amount=Money.parse("1.2378912")),
        line(None, LineKind.OTHER, amount=Money.parse("10")),
    )


def test_anthropic_s_csv_of_costs_names_models_for_people() -> None:
    row = (
        "2026-10-03,Claude Haiku 4.5,Default,demo,message,≤ 200k,input_no_cache,0.05,0.05,token,na,,apikey_01,active\n"
    )
    export = read("\ufeff" + ANTHROPIC_CSV + row)
    assert export.lines == (line("claude-haiku-4-5", LineKind.INPUT, amount=Money.parse("0.05"), key="apikey_01"),)
    assert model_key("claude-haiku-4-5-20251001") == "claude-haiku-4-5"


def test_anthropic_s_csv_of_usage_is_read_too() -> None:
    header = (
        "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
        "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,"
        "usage_output_tokens,web_search_count,inference_geo,speed\n"
    )
    export = read(header + "2026-10-03,claude-opus-4-5-20251101,demo,Default,message,x,10,0,0,20,30,0,,\n")
    assert [(item.kind, item.tokens) for item in export.lines] == [
        (LineKind.INPUT, 10),
        (LineKind.CACHE_READ, 20),
        (LineKind.OUTPUT, 30),
    ]


def sku(description: str, cost: float, amount: int, **more: Any) -> dict[str, Any]:
    return {
        "service": {"description": "Gemini API"},
        "sku": {"id": "A", "description": description},
        "usage_start_time": "2026-10-03 07:00:00 UTC",
        "project": {"id": "acme-prod"},
        "cost": cost,
        "currency": "USD",
        "usage": {"amount": amount, "unit": "count"},
        "credits": [],
        **more,
    }


def test_google_s_table_names_model_and_kind_in_the_sku() -> None:
    rows = [
        sku("Generate content input token count gemini 2.5 flash short input text", 0.6, 2_000_000),
        sku("Gemini 2.5 Pro Thinking Text Output - Predictions", 10.0, 1_000_000, credits=[{"amount": -1.5}]),
        sku("Generate_content_cached_input_token_count_gemini_3.1_flash_lite_text", 0.01, 400),
        {**sku("N1 Predefined Instance Core", 3.0, 10), "service": {"description": "Compute Engine"}},
    ]
    export = read("\n".join(map(json.dumps, rows)))
    assert export.lines == (
        line("gemini-2-5-flash", LineKind.INPUT, tokens=2_000_000, amount=Money.parse("0.6"), key="acme-prod"),
        line("gemini-2-5-pro", LineKind.OUTPUT, tokens=1_000_000, amount=Money.parse("10"), key="acme-prod"),
        line("gemini-2-5-pro", LineKind.CREDIT, amount=Money.parse("-1.5"), key="acme-prod"),
        line("gemini-3-1-flash-lite", LineKind.CACHE_READ, tokens=400, amount=Money.parse("0.01"), key="acme-prod"),
    )
    assert model_key("gemini-2.5-flash") == "gemini-2-5-flash"


def test_google_s_csv_has_days_of_the_pacific() -> None:
    header = (
        "Project ID,Service description,SKU description,Credit type,Usage start date,Usage amount,Usage unit,Cost ($),"
        "Unrounded cost ($)\n"
    )
    row = 'acme,Gemini API,Generate content output token count gemini 2.5 flash text,,2026-10-03,"1,000",count,0.00,0.0025\n'
    export = read(header + row + ",,Tax,,,,,0.12,0.12\n")
    assert export.time_zone == "America/Los_Angeles"
    assert export.lines == (
        line("gemini-2-5-flash", LineKind.OUTPUT, tokens=1000, amount=Money.parse("0.0025"), key="acme"),
    )


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("", "The file is empty."),
        ("hello", "neither JSON nor a CSV"),
        ('{"data": [{"object": "bucket"}]}', "Bucket 1 has no results"),
        ('{"data": []}', "no rows"),
        ('{"a": 1, "b": 2}', "its columns are a, b"),
        ("a,b\n1,2\n", "its columns are a, b"),
        ("a,b\n1\n", "Line 2 does not have the 2 columns"),
        ("[1, 2]", "something else than pages or rows"),
        ("[" * 100_000, "nested too deeply"),
        ('{"data": [', "cannot be read as JSON"),
        (OPENAI_CSV + f"{BEGUN},,,,0.5,eur,,,gpt-4o,,,,\n", "line 2: the amount is in eur"),
        (OPENAI_CSV + f"{BEGUN},,,,NaN,usd,,,gpt-4o,,,,\n", "line 2: amount is no amount that can be: 'NaN'"),
        (OPENAI_CSV + f"{BEGUN},,,,1e-99999999,usd,,,gpt-4o,,,,\n", "line 2: amount is no amount"),
        (OPENAI_CSV + f"{BEGUN},,,,1e99999999,usd,,,gpt-4o,,,,\n", "line 2: amount is no amount"),
        (OPENAI_CSV + "9999-12-31,,,,0.5,usd,,,gpt-4o,,,,\n", "line 2: start_time is a time of the year 9999"),
        (OPENAI_CSV + "soon,,,,0.5,usd,,,gpt-4o,,,,\n", "line 2: start_time is no time: 'soon'"),
        (ANTHROPIC_CSV + "2026-10-03,M,,,,,output,much,0,token,,,,\n", "line 2: cost_usd is no amount: 'much'"),
    ],
)
def test_what_cannot_be_read_says_what_and_where(document: str, said: str) -> None:
    with pytest.raises(ExportUnreadable, match=re.escape(said)):
        read(document)


def test_a_missing_page_is_missed() -> None:
    result = {"object": "organization.costs.result", "amount": {"value": 1, "currency": "usd"}, "line_item": "gpt-4o"}
    with pytest.raises(ExportUnreadable, match="add the pages that follow"):
        read(page(result, more=True))
    assert len(read([page(result, more=True), page(result)]).lines) == 2
