"""Which pages there are, and for whom (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from p402.collector.api.auth import Principal

__all__ = ["SECTIONS", "Link", "links_for"]


@dataclass(frozen=True, slots=True)
class Link:
    """An entry of the navigation."""

    path: str
    title: str
    scope: str


SECTIONS: tuple[tuple[str, tuple[Link, ...]], ...] = (
    (
        "Spend",
        (
            Link("/", "Overview", "spend:read"),
            Link("/spend/department", "Departments", "spend:read"),
            Link("/spend/project", "Projects", "spend:read"),
            Link("/spend/client", "Clients", "spend:read"),
            Link("/spend/employee", "Employees", "spend:read"),
            Link("/spend/model", "Models", "spend:read"),
            Link("/spend/task_type", "Task types", "spend:read"),
        ),
    ),
    (
        "Control",
        (
            Link("/budgets", "Budgets", "spend:read"),
            Link("/policies", "Policies", "spend:read"),
            Link("/routing", "Routing", "spend:read"),
            Link("/alerts", "Alerts", "spend:read"),
            Link("/anomalies", "Anomalies", "spend:read"),
        ),
    ),
    (
        "Proof",
        (
            Link("/sessions", "Sessions", "spend:read"),
            Link("/receipts", "Receipts", "receipts:read"),
            Link("/settlements", "Settlements", "receipts:read"),
        ),
    ),
    (
        "Operation",
        (
            Link("/keys", "Keys", "admin"),
            Link("/set-aside", "Spans set aside", "spend:read"),
            Link("/health", "Health", "spend:read"),
        ),
    ),
)


def links_for(principal: Principal) -> list[tuple[str, list[Link]]]:
    """Give the sections with the pages that somebody may open; no empty ones."""
    found = [(name, [link for link in links if principal.may(link.scope)]) for name, links in SECTIONS]
    return [(name, links) for name, links in found if links]
