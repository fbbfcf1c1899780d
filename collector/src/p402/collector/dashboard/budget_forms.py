"""Budgets and overrides as forms have them: what was typed, what it means, and what is wrong with which field."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from p402.collector.api.budget_views import OverrideBody
from p402.collector.api.problem import BadRequest
from p402.collector.budgets.definition import BudgetDefinition
from p402.vocabulary import Level, P402Error

__all__ = ["CHANGEABLE", "NEW", "changed_document", "form_of_budget", "new_document", "override_of", "wrong_fields"]

CHANGEABLE = ("cap", "mode", "hard", "warn_at", "owner")
"""What is changed of a budget without making it count anew."""

NEW = "new"
"""The address of the form for a new budget, so that no budget can have this name there."""


def form_of_budget(definition: BudgetDefinition) -> dict[str, str]:
    """Give what the form for a change shows before anything is typed."""
    return {
        "cap": definition.cap,
        "mode": definition.mode.value,
        "hard": "yes" if definition.hard else "",
        "warn_at": ", ".join(map(str, definition.warn_at)),
        "owner": definition.owner or "",
    }


def changed_document(definition: BudgetDefinition, form: Mapping[str, str]) -> dict[str, Any]:
    """Give a budget with what the form changes, to be checked as any other."""
    return {**definition.to_json(), **_changeable(form)}


def new_document(form: Mapping[str, str]) -> dict[str, Any]:
    """Give the budget that a form makes, to be checked as any other.

    Raises:
        BadRequest: if ``within`` is not written as it must be, or the name is the form's own address.
    """
    if form.get("name") == NEW:
        raise BadRequest(f"name: {NEW!r} is the address of this form; take another name.")
    plain = {
        name: form[name] for name in ("name", "level", "measure", "period", "length", "time_zone") if form.get(name)
    }
    return {**plain, "node": form.get("node") or "*", "within": _within(form.get("within", "")), **_changeable(form)}


def override_of(form: Mapping[str, str]) -> OverrideBody:
    """Read the form of an override; its time is in UTC, as a browser writes it: ``2026-12-01T00:00``.

    Raises:
        ValidationError: see `wrong_fields`.
        BadRequest: if the time is none.
    """
    try:
        expires = datetime.fromisoformat(form.get("expires_at", ""))
    except ValueError as error:
        raise BadRequest("expires_at: a time such as 2026-12-01T00:00, in UTC.") from error
    fields = {name: form.get(name, "") for name in ("amount", "owner", "reason")}
    return OverrideBody.model_validate(
        {**fields, "expires_at": expires if expires.tzinfo else expires.replace(tzinfo=UTC)}
    )


def wrong_fields(error: P402Error | ValidationError) -> dict[str, str]:
    """Say what is wrong with which field; under ``""`` what is about no single one."""
    cause = error if isinstance(error, ValidationError) else error.__cause__
    if isinstance(cause, ValidationError):
        found: dict[str, str] = {}
        for problem in cause.errors(include_url=False, include_input=False, include_context=False):
            name = str(problem["loc"][0]) if problem["loc"] else _named_in(problem["msg"])
            found.setdefault(name, problem["msg"].removeprefix("Value error, "))
        return found
    field, colon, said = str(error).partition(": ")
    return {field: said} if colon and field.isidentifier() else {"": str(error)}


def _named_in(message: str) -> str:
    """Find the field that a problem of the whole is about: only an amount is checked there with a field of its own."""
    return "cap" if "an amount" in message.lower() else ""


def _changeable(form: Mapping[str, str]) -> dict[str, Any]:
    return {
        "cap": form.get("cap", "").removeprefix("$").replace(",", ""),
        "mode": form.get("mode", "enforce"),
        "hard": bool(form.get("hard")),
        "warn_at": [
            part.strip().removesuffix("%").strip() for part in form.get("warn_at", "").split(",") if part.strip()
        ],
        "owner": form.get("owner") or None,
    }


def _within(text: str) -> dict[str, str]:
    """Read ``department=legal, project=tender-7``."""
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        level, equals, node = part.partition("=")
        if not equals or level.strip() not in set(Level):
            levels = ", ".join(one.value for one in Level if one is not Level.REQUEST)
            raise BadRequest(f"within: write it as department=legal; the levels are {levels}.")
        found[level.strip()] = node.strip()
    return found
