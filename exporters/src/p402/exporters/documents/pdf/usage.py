"""What a receipt's document says about usage: tokens and cost by model, and how they were measured (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from p402.exporters.documents.pdf.blocks import Block, Column, Facts, Paragraph, Section, Table, Value, mono
from p402.exporters.documents.pdf.figures import amounts, count

__all__ = ["measurement_section", "models_section", "unpriced"]

_TOKENS = {
    "input": "Input",
    "cache_read": "from cache",
    "cache_write": "into cache",
    "output": "Output",
    "reasoning": "reasoning",
}
"""Kinds of tokens and what their columns are called; those in small letters are parts of the one before them."""
_CONTENT_MODES = {
    "metadata": "Metadata only: neither prompts nor outputs were captured.",
    "fingerprint": "Fingerprints: of prompts and outputs only keyed hashes were captured.",
    "redacted": "Redacted: prompts and outputs were captured with personal data taken out.",
    "full": "Full: prompts and outputs were captured.",
}


def unpriced(requests: int) -> str:
    """Say what a total leaves out; nothing if it leaves nothing out."""
    if not requests:
        return ""
    return f"{count(requests)} {'request' if requests == 1 else 'requests'} without a known price not included"


def models_section(body: Mapping[str, Any]) -> Section:
    """Give the table of models and the totals."""
    models: Sequence[Mapping[str, Any]] = body["models"]
    kinds = [
        kind for kind in _TOKENS if kind in ("input", "output") or any(model["tokens"].get(kind) for model in models)
    ]
    sums = {kind: sum(model["tokens"].get(kind, 0) for model in models) for kind in kinds}
    sums.update({kind: body["tokens"][kind] for kind in ("input", "output")})
    *costs, total = amounts([*(_cost(model) for model in models), body["cost_usd"]])
    rows = [
        (
            Value(model["model"], note=model["provider"]),
            Value(count(model["requests"])),
            *(Value(count(model["tokens"].get(kind, 0))) for kind in kinds),
            Value(cost),
        )
        for model, cost in zip(models, costs, strict=True)
    ]
    totals = (
        Value("Total"),
        Value(count(body["requests"])),
        *(Value(count(sums[kind])) for kind in kinds),
        Value(total),
    )
    columns = (
        Column("Model", figures=False),
        Column("Requests"),
        *(Column(_TOKENS[kind], "tokens") for kind in kinds),
        Column("Cost", "USD"),
    )
    blocks: list[Block] = [Table(columns, tuple(rows), (totals,))]
    blocks += [Paragraph(note, quiet=True) for note in _notes(body)]
    return Section("Usage and cost by model", tuple(blocks))


def _cost(model: Mapping[str, Any]) -> str | None:
    """Give the cost of a model; None where no request had a price, which is not the same as costing nothing."""
    return None if model["unpriced_requests"] == model["requests"] else str(model["cost_usd"])


def _notes(body: Mapping[str, Any]) -> list[str]:
    """Say what a reader who adds up the table would stumble over."""
    models: Sequence[Mapping[str, Any]] = body["models"]
    missing = [
        f"{model['model']} ({count(model['unpriced_requests'])})" for model in models if model["unpriced_requests"]
    ]
    notes = []
    if missing:
        notes.append(f"Requests without a known price, which add nothing to any sum: {', '.join(missing)}.")
    if sum(model["requests"] for model in models) != body["requests"]:
        notes.append("A request that was tried with several models counts once in the total.")
    return notes


def measurement_section(body: Mapping[str, Any]) -> Section:
    """Tell how usage was counted and priced, why the models were chosen, and what was captured."""
    sources = body["usage_sources"]
    reported, estimated = sources.get("provider", 0), sources.get("estimated", 0)
    counted = f"{count(reported)} reported by the provider, {count(estimated)} counted locally"
    prices = [
        (
            f"Price table {number}" if len(body["price_books"]) > 1 else "Price table",
            mono(f"{book['id']}\n{book['sha256']}"),
        )
        for number, book in enumerate(body["price_books"], 1)
    ]
    charges = body["charges"]
    lines = "1 charge" if charges["count"] == 1 else f"{count(charges['count'])} charges"
    return Section(
        "Routing, measurement and content",
        (
            Facts(
                (
                    (
                        "Routing rationale",
                        Value("\n".join(body["routing"])) if body["routing"] else Value("", note="none"),
                    ),
                    ("Token counts", Value(counted, note="(charges)")),
                    *(prices or [("Price table", Value("", note="none: no request had a known price"))]),
                    ("Charges", mono(charges["sha256"], note=f"SHA-256 of the lines of {lines} (FORMAT.md §3.2)")),
                    ("Content mode", Value(_CONTENT_MODES.get(body["content_mode"], body["content_mode"]))),
                    ("Output fingerprint", _fingerprint(body["output_fingerprint"])),
                )
            ),
        ),
    )


def _fingerprint(fingerprint: Mapping[str, Any]) -> Value:
    if fingerprint["state"] == "not-captured":
        return Value("", note="not captured")
    said = [f"{name}: {value}" for name, value in sorted(fingerprint.items()) if name != "state"]
    return mono("\n".join(said), note=str(fingerprint["state"]))
