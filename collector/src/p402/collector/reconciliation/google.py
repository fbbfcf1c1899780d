"""What Google Cloud Billing exports: rows of the BigQuery usage cost tables (JSON), and the CSV of the cost table.

https://cloud.google.com/billing/docs/how-to/export-data-bigquery-tables. One row is about one SKU; its description names
the model and what was counted, as in ``Generate content input token count gemini 2.5 flash short input text`` (Gemini API) or
``Gemini 2.5 Pro Text Input - Predictions`` (Vertex AI). Rows of services that serve no models are left out.
"""

from __future__ import annotations

import re
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
    read_amount,
    read_count,
)

__all__ = ["read_google"]

_MODEL = re.compile(r"\bgemini (\d(?:\.\d+)?) (flash lite|flash|pro|ultra|nano)\b")
_SERVICES = re.compile(r"gemini|generative|vertex", re.IGNORECASE)
_COST_TABLE_ZONE = "America/Los_Angeles"  # days of invoices and of the cost table begin at midnight Pacific time


def read_google(file: Rows) -> ProviderExport | None:
    """Read one of Google's exports; None if the file is something else."""
    digits: list[int] = []
    if not file.is_csv and file.names >= {"sku", "usage_start_time", "cost"}:
        lines = [line for where, row in file.rows for line in _table(where, row, digits)]
        return _export("BigQuery usage cost", lines, digits, "UTC")
    cost = next((name for name in ("Unrounded cost ($)", "Cost ($)") if name in file.names), None)
    if file.is_csv and cost is not None and file.names >= {"SKU description", "Usage start date"}:
        lines = [line for where, row in file.rows for line in _cost_table(where, row, cost, digits)]
        return _export("cost table CSV", lines, digits, _COST_TABLE_ZONE)
    return None


def _export(shape: str, lines: list[InvoiceLine], digits: list[int], time_zone: str) -> ProviderExport:
    if not lines:
        raise ExportUnreadable("No row is about a model: neither the services nor the SKUs name Gemini or Vertex AI.")
    return ProviderExport(
        provider="google",
        shape=shape,
        lines=tuple(lines),
        time_zone=time_zone,
        names_models=True,
        quantum_nano_usd=finest_nano_usd(digits),
    )


def _table(where: str, row: Row, digits: list[int]) -> Iterator[InvoiceLine]:
    sku, service = _described(row.get("sku")), _described(row.get("service"))
    if not _SERVICES.search(f"{service} {sku}"):
        return
    if str(row.get("currency", "USD")) != "USD":
        raise ExportUnreadable(f"{where}: the cost is in {str(row['currency'])[:10]}; only USD can be compared.")
    project = row.get("project")
    key = project.get("id") if isinstance(project, dict) else None
    day = day_of(row.get("usage_start_time"), f"{where}: usage_start_time")
    usage = row.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    yield _line(where, sku, day, key, row.get("cost"), usage.get("amount"), usage.get("unit"), digits)
    credits_given = row.get("credits")
    for credit in credits_given if isinstance(credits_given, list) else ():
        amount, digit = read_amount(credit.get("amount"), f"{where}: credit")
        digits.append(digit)
        yield InvoiceLine(day=day, model=_model(sku), key=key, kind=LineKind.CREDIT, amount=amount)


def _cost_table(where: str, row: Row, cost: str, digits: list[int]) -> Iterator[InvoiceLine]:
    sku = str(row["SKU description"])
    if not row["Usage start date"] or not _SERVICES.search(f"{row.get('Service description', '')} {sku}"):
        return  # totals and taxes have no date
    day = day_of(row["Usage start date"], f"{where}: Usage start date")
    key = row.get("Project ID") or None
    if row.get("Credit type"):
        amount, digit = read_amount(row[cost], f"{where}: {cost}")
        digits.append(digit)
        yield InvoiceLine(day=day, model=_model(sku), key=key, kind=LineKind.CREDIT, amount=amount)
    else:
        yield _line(where, sku, day, key, row[cost], row.get("Usage amount"), row.get("Usage unit"), digits)


def _line(
    where: str, sku: str, day: Any, key: Any, cost: Any, amount: Any, unit: Any, digits: list[int]
) -> InvoiceLine:
    money, digit = read_amount(cost, f"{where}: cost")
    digits.append(digit)
    model, kind = _model(sku), _kind(sku)
    counted = (
        kind is not LineKind.OTHER and str(unit or "").lower() in ("count", "counts", "") and amount not in (None, "")
    )
    return InvoiceLine(
        day=day,
        model=model,
        key=str(key) if key else None,
        kind=kind if model is not None else LineKind.OTHER,
        tokens=read_count(amount, f"{where}: usage amount") if counted and model is not None else None,
        amount=money,
    )


def _described(value: Any) -> str:
    return str(value.get("description") or "") if isinstance(value, dict) else str(value or "")


def _words(sku: str) -> str:
    return " ".join(re.sub(r"[_\-]", " ", sku.lower()).split())


def _model(sku: str) -> str | None:
    found = _MODEL.search(_words(sku))
    return None if found is None else f"gemini-{found[1].replace('.', '-')}-{found[2].replace(' ', '-')}"


def _kind(sku: str) -> LineKind:
    words = _words(sku)
    if "storage" in words or "grounding" in words or "search" in words:
        return LineKind.OTHER
    if "cach" in words:
        return LineKind.CACHE_READ
    if "output" in words:
        return LineKind.OUTPUT
    return LineKind.INPUT if "input" in words else LineKind.OTHER
