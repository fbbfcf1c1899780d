"""Calls as OCSF events, for a SIEM: class API Activity (6003) of OCSF 1.8.0 with the profiles ai_operation and trace (pure).

Source: https://schema.ocsf.io/1.8.0/classes/api_activity. What OCSF has no word for (cost, attribution) is in ``unmapped``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from p402.vocabulary import Charge

__all__ = ["ocsf_event"]

_VERSION = "1.8.0"
_CLASS, _OTHER = 6003, 99
_MILLISECOND = timedelta(milliseconds=1)
_ASSISTANT = 2


def ocsf_event(seq: int, charge: Charge, product_version: str) -> dict[str, Any]:
    """Write a charge as an event; ``metadata.uid`` is the same whenever it is written."""
    whose, usage = charge.attribution, charge.usage
    start, end = _millis(charge.started_at), _millis(charge.ended_at)
    model = charge.response_model or charge.request_model or "unknown"
    application = whose.project or whose.department or whose.organisation or "unattributed"
    return {
        "activity_id": _OTHER,  # a call of a model creates, reads, updates and deletes nothing
        "activity_name": charge.operation,
        "category_name": "Application Activity",
        "category_uid": _CLASS // 1000,
        "class_name": "API Activity",
        "class_uid": _CLASS,
        "type_name": "API Activity: Other",
        "type_uid": _CLASS * 100 + _OTHER,
        "severity": "Informational",
        "severity_id": 1,
        "status": "Success",
        "status_id": 1,
        "time": start,
        "start_time": start,
        "end_time": end,
        "duration": end - start,
        "metadata": {
            "version": _VERSION,
            "profiles": ["ai_operation", "trace"],
            "product": {"name": "P402 Meter", "vendor_name": "P402", "version": product_version},
            "uid": f"{charge.trace_id}-{charge.span_id}",
            "sequence": seq,
            **_named(tenant_uid=whose.organisation, correlation_uid=whose.session),
        },
        "actor": {
            "app_name": application,
            **({"user": {"uid": whose.employee}} if whose.employee else {}),
            **({"session": {"uid": whose.session}} if whose.session else {}),
        },
        "api": {
            "operation": charge.operation,
            "service": {"name": charge.provider},
            "request": {"uid": charge.request},
        },
        "src_endpoint": {"name": application},
        "dst_endpoint": {"svc_name": charge.provider},
        "ai_model": {"name": model, "ai_provider": charge.provider},
        "message_context": {
            "ai_role_id": _ASSISTANT,
            "application": {"name": application},
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
            **_named(uid=whose.session),
        },
        "trace": {
            "uid": charge.trace_id,
            "span": {"uid": charge.span_id, "start_time": start, "end_time": end},
        },
        "unmapped": {
            **_named(department=whose.department, project=whose.project, client=whose.client),
            **_named(verdict=charge.verdict, data_class=charge.data_class, task_type=charge.task_type),
            **_named(unpriced_reason=charge.unpriced_reason),
            **_named(cost_usd=None if charge.cost is None else str(charge.cost)),
        },
    }


def _millis(moment: datetime) -> int:
    return (moment - datetime.fromisoformat("1970-01-01T00:00:00Z")) // _MILLISECOND


def _named(**values: str | None) -> dict[str, str]:
    """Leave out what is not known."""
    return {name: value for name, value in values.items() if value is not None}
