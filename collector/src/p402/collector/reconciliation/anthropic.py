"""What Anthropic exports: pages of the usage and cost reports, and the CSV files of the console.

https://platform.claude.com/docs/en/api/admin: amounts of the cost report are decimal strings of *cents*, those of the CSV
are dollars.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from p402.collector.reconciliation.files import Row, Rows
from p402.collector.reconciliation.lines import (
    ExportUnreadable,
    InvoiceLine,
    LineKind,
    ProviderExport,
    day_of,
    finest_nano_usd,
    model_key,
    read_amount,
    read_count,
)

__all__ = ["read_anthropic"]

_USAGE_CSV = {
    "usage_input_tokens_no_cache": LineKind.INPUT,
    "usage_input_tokens_cache_read": LineKind.CACHE_READ,
    "usage_input_tokens_cache_write_5m": LineKind.CACHE_WRITE,
    "usage_input_tokens_cache_write_1h": LineKind.CACHE_WRITE_1H,
    "usage_output_tokens": LineKind.OUTPUT,
}
_TOKEN_TYPES = {  # of the cost report, then of the CSV
    "uncached_input_tokens": LineKind.INPUT,
    "cache_read_input_tokens": LineKind.CACHE_READ,
    "cache_creation.ephemeral_5m_input_tokens": LineKind.CACHE_WRITE,
    "cache_creation.ephemeral_1h_input_tokens": LineKind.CACHE_WRITE_1H,
    "output_tokens": LineKind.OUTPUT,
    "input_no_cache": LineKind.INPUT,
    "input_cache_read": LineKind.CACHE_READ,
    "input_cache_write_5m": LineKind.CACHE_WRITE,
    "input_cache_write_1h": LineKind.CACHE_WRITE_1H,
    "output": LineKind.OUTPUT,
}
_CENTS = 100


def read_anthropic(file: Rows) -> ProviderExport | None:
    """Read one of Anthropic's exports; None if the file is something else."""
    names, digits = file.names, list[int]()
    if file.is_csv and "usage_input_tokens_no_cache" in names:
        return _export("usage CSV", [line for where, row in file.rows for line in _usage_csv(where, row)], digits)
    if file.is_csv and names >= {"usage_date_utc", "cost_usd", "token_type"}:
        return _export("cost CSV", [_cost_csv(where, row, digits) for where, row in file.rows], digits)
    if "uncached_input_tokens" in names and "starting_at" in names:
        return _export("usage report", [line for where, row in file.rows for line in _usage(where, row)], digits)
    if not file.is_csv and names >= {"starting_at", "amount", "currency"}:
        return _export("cost report", [_cost(where, row, digits) for where, row in file.rows], digits)
    return None


def _export(shape: str, lines: list[InvoiceLine], digits: list[int]) -> ProviderExport:
    return ProviderExport(
        provider="anthropic",
        shape=shape,
        lines=tuple(lines),
        names_models=all(line.model is not None for line in lines if line.kind is not LineKind.OTHER),
        quantum_nano_usd=finest_nano_usd(digits),
    )


def _usage(where: str, row: Row) -> Iterator[InvoiceLine]:
    written = row.get("cache_creation")
    written = written if isinstance(written, dict) else {}
    counts = {
        LineKind.INPUT: row.get("uncached_input_tokens"),
        LineKind.CACHE_READ: row.get("cache_read_input_tokens"),
        LineKind.CACHE_WRITE: written.get("ephemeral_5m_input_tokens"),
        LineKind.CACHE_WRITE_1H: written.get("ephemeral_1h_input_tokens"),
        LineKind.OUTPUT: row.get("output_tokens"),
    }
    day = day_of(row.get("starting_at"), f"{where}: starting_at")
    yield from _tokens(where, counts, day, _model(row), row.get("api_key_id") or row.get("workspace_id"))


def _usage_csv(where: str, row: Row) -> Iterator[InvoiceLine]:
    counts = {kind: row.get(name) for name, kind in _USAGE_CSV.items()}
    day = day_of(row.get("usage_date_utc"), f"{where}: usage_date_utc")
    model = model_key(str(row["model_version"])) if row.get("model_version") else None
    yield from _tokens(where, counts, day, model, row.get("api_key_id") or row.get("api_key"))


def _tokens(where: str, counts: dict[LineKind, Any], day: Any, model: str | None, key: Any) -> Iterator[InvoiceLine]:
    for kind, value in counts.items():
        tokens = read_count(value, f"{where}: {kind} tokens")
        if tokens or kind is LineKind.INPUT:
            yield InvoiceLine(day=day, model=model, key=str(key) if key else None, kind=kind, tokens=tokens)


def _cost(where: str, row: Row, digits: list[int]) -> InvoiceLine:
    if str(row.get("currency")).upper() != "USD":
        raise ExportUnreadable(f"{where}: the amount is in {str(row.get('currency'))[:10]}; only USD can be compared.")
    amount, digit = read_amount(row.get("amount"), f"{where}: amount", per_usd=_CENTS)
    digits.append(digit)
    key = row.get("workspace_id")
    return InvoiceLine(
        day=day_of(row.get("starting_at"), f"{where}: starting_at"),
        model=_model(row),
        key=str(key) if key else None,
        kind=_kind(row, tokens="tokens"),
        amount=amount,
    )


def _cost_csv(where: str, row: Row, digits: list[int]) -> InvoiceLine:
    amount, digit = read_amount(row.get("cost_usd"), f"{where}: cost_usd")
    digits.append(digit)
    key = row.get("api_key_id") or row.get("api_key")
    return InvoiceLine(
        day=day_of(row.get("usage_date_utc"), f"{where}: usage_date_utc"),
        model=_model(row),
        key=str(key) if key else None,
        kind=_kind(row, tokens="token"),
        amount=amount,
    )


def _kind(row: Row, tokens: str) -> LineKind:
    if row.get("cost_type") not in (None, "", tokens):
        return LineKind.OTHER  # searches, code execution
    kind = row.get("token_type")
    return _TOKEN_TYPES.get(str(kind), LineKind.ANY) if kind else LineKind.ANY


def _model(row: Row) -> str | None:
    return model_key(str(row["model"])) if row.get("model") else None
