"""What OpenAI exports: pages of the Usage and Costs APIs, and the CSV files of the usage page.

https://platform.openai.com/docs/api-reference/usage
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

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

__all__ = ["read_openai"]

_USAGE = {"num_model_requests", "input_tokens"}
_COSTS_CSV = {"amount_value", "line_item"}
_WORDS = (  # the first that is in a line item decides
    ("cached", LineKind.CACHE_READ),
    ("cache write", LineKind.CACHE_WRITE),
    ("output", LineKind.OUTPUT),
    ("input", LineKind.INPUT),
)


def read_openai(file: Rows) -> ProviderExport | None:
    """Read one of OpenAI's exports; None if the file is something else."""
    names = file.names
    objects = {row.get("object") for _, row in file.rows}
    if names >= _USAGE and "usage_input_tokens_no_cache" not in names:
        lines = [line for where, row in file.rows for line in _usage(where, row)]
        return _export("usage", lines)
    if "organization.costs.result" in objects or names >= _COSTS_CSV:
        digits: list[int] = []
        lines = [line for where, row in file.rows for line in _costs(where, row, digits)]
        return _export("costs", lines, finest_nano_usd(digits))
    return None


def _export(shape: str, lines: list[InvoiceLine], quantum: int = 1) -> ProviderExport:
    return ProviderExport(
        provider="openai",
        shape=shape,
        lines=tuple(lines),
        names_models=all(line.model is not None for line in lines if line.kind is not LineKind.OTHER),
        quantum_nano_usd=quantum,
    )


def _usage(where: str, row: Row) -> Iterator[InvoiceLine]:
    """Read a result of a usage API: the input includes what was read from a cache and written to it."""
    day, model, key = _begun(row, where), _model(row), _key(row)
    total, read, written, output = (
        read_count(row.get(name), f"{where}: {name}")
        for name in ("input_tokens", "input_cached_tokens", "input_cache_write_tokens", "output_tokens")
    )
    if read + written > total:
        raise ExportUnreadable(f"{where}: input_cached_tokens ({read}) are more than input_tokens ({total}).")
    requests = read_count(row.get("num_model_requests"), f"{where}: num_model_requests")
    yield InvoiceLine(
        day=day, model=model, key=key, kind=LineKind.INPUT, tokens=total - read - written, requests=requests
    )
    counts = {LineKind.CACHE_READ: read, LineKind.CACHE_WRITE: written, LineKind.OUTPUT: output}
    for kind, tokens in counts.items():
        if tokens:
            yield InvoiceLine(day=day, model=model, key=key, kind=kind, tokens=tokens)


def _costs(where: str, row: Row, digits: list[int]) -> Iterator[InvoiceLine]:
    """Read a cost; the CSV has a row without an amount for each day without costs."""
    nested = row.get("amount")
    amount = (
        nested
        if isinstance(nested, dict)
        else {"value": row.get("amount_value"), "currency": row.get("amount_currency")}
    )
    if amount.get("value") in (None, ""):
        return
    currency = str(amount.get("currency") or "usd")
    if currency.lower() != "usd":
        raise ExportUnreadable(f"{where}: the amount is in {currency[:10]}; only USD can be compared.")
    cost, digit = read_amount(amount["value"], f"{where}: amount")
    digits.append(digit)
    item = str(row.get("line_item") or "")
    model, kind = _line_item(item)
    tokens = None
    if str(row.get("quantity_unit") or "").lower() == "tokens" and row.get("quantity") not in (None, ""):
        tokens = read_count(row["quantity"], f"{where}: quantity")
    yield InvoiceLine(day=_begun(row, where), model=model, key=_key(row), kind=kind, tokens=tokens, amount=cost)


def _line_item(item: str) -> tuple[str | None, LineKind]:
    """Read ``gpt-4o-2024-08-06, cached input``, ``gpt-5-nano, input_tokens`` or a mere model; else what it is for is not known."""
    name, comma, what = item.partition(",")
    words = what.lower().replace("_", " ")
    if not item:
        return None, LineKind.ANY
    if comma:
        kind = next((kind for word, kind in _WORDS if word in words), LineKind.OTHER)
        return model_key(name), kind
    return (None, LineKind.OTHER) if " " in item.strip() else (model_key(item), LineKind.ANY)


def _begun(row: Row, where: str) -> date:
    return day_of(row.get("start_time") or row.get("start_time_iso"), f"{where}: start_time")


def _model(row: Row) -> str | None:
    return model_key(str(row["model"])) if row.get("model") else None


def _key(row: Row) -> str | None:
    found = row.get("api_key_id") or row.get("project_id")
    return str(found) if found else None
