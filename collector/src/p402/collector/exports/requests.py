"""Requests of exports as JSON: in the database, in manifests and in answers of the API (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from p402.collector.exports.ports import ExportFormat, ExportRequest, Progress, Written
from p402.vocabulary import Attribution, rfc3339

__all__ = ["progress_of", "progress_value", "request_of", "request_value"]


def request_value(request: ExportRequest) -> dict[str, Any]:
    """Write what was asked for."""
    return {
        "format": request.format.value,
        **{level.value: value for level, value in request.within},
        "from": None if request.begin is None else rfc3339(request.begin),
        "to": None if request.end is None else rfc3339(request.end),
        "model": request.model,
        "after_seq": request.after_seq,
        "before_seq": request.before_seq,
        "disclose": list(request.disclose),
        "checkpoint": request.checkpoint,
    }


def request_of(value: Mapping[str, Any]) -> ExportRequest:
    """Read what `request_value` wrote."""
    return ExportRequest(
        format=ExportFormat(value["format"]),
        within=Attribution(*(value[level.value] for level, _ in Attribution())),
        begin=None if value["from"] is None else datetime.fromisoformat(value["from"]),
        end=None if value["to"] is None else datetime.fromisoformat(value["to"]),
        model=value["model"],
        after_seq=value["after_seq"],
        before_seq=value["before_seq"],
        disclose=tuple(value["disclose"]),
        checkpoint=value.get("checkpoint"),  # earlier releases knew none
    )


def progress_value(progress: Progress) -> dict[str, Any]:
    """Write where an export stands."""
    return asdict(progress)


def progress_of(value: Mapping[str, Any]) -> Progress:
    """Read what `progress_value` wrote."""
    return Progress(
        section=value["section"],
        after=None if value["after"] is None else tuple(value["after"]),
        done=value["done"],
        files={name: Written(**written) for name, written in value["files"].items()},
        counts=value["counts"],
    )
