"""Every page that there is, as the document of the endpoints says, with an address for each; and what any page must be like."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from support.openapi import FILE

__all__ = ["PAGES", "address_of", "faults_of", "picture_name"]

_AXE = Path(__file__).parents[1] / "node_modules" / "axe-core" / "axe.min.js"
_FIRST_OF = {"dimension": "department"}
_RUN_AXE = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations
    .filter((one) => one.impact === "serious" || one.impact === "critical")
    .map((one) => `${one.id} (${one.impact}): ${one.nodes.map((node) => node.target.join(" ")).slice(0, 4).join(", ")}: ${one.help}`);
}"""
_LOOK = """() => {
  const wrong = [];
  const wide = document.documentElement.scrollWidth - window.innerWidth;
  if (wide > 0) wrong.push(`it is ${wide} pixels wider than the window`);
  const headings = document.querySelectorAll("h1").length;
  if (headings !== 1) wrong.push(`it has ${headings} headings of the first level`);
  for (const control of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!control.labels.length && !control.ariaLabel) wrong.push(`${control.tagName} ${control.name} has no label`);
  }
  return wrong;
}"""


def _pages() -> Sequence[str]:
    document = json.loads(FILE.read_text())
    return sorted(
        path
        for path, methods in document["paths"].items()
        if "text/html" in methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
    )


PAGES: Sequence[str] = _pages()
"""The templates of their paths; that the document has all of them, `tests/house/test_openapi.py` sees to."""


def address_of(page: str, names: Mapping[str, str]) -> str:
    """The path of one such page.

    Args:
        page: its template.
        names: of one thing of each kind, by the parameter that it stands for.
    """
    known = {**_FIRST_OF, **names}
    missing = [name for name in re.findall(r"{(\w+)}", page) if name not in known]
    assert not missing, f"nobody says which {missing[0]} {page} is opened with: support/rich_house.py should"
    return page.format(**known)


def picture_name(page: str) -> str:
    """What a screenshot of it is called."""
    return re.sub(r"\W+", "-", page).strip("-") or "overview"


def faults_of(page: Page, *, axe: bool) -> list[str]:
    """What is wrong with an open page, in sentences; with axe-core's rules too if asked for."""
    found: list[str] = page.evaluate(_LOOK)
    if axe:
        page.evaluate(_axe())
        found += page.evaluate(_RUN_AXE)
    return found


@cache
def _axe() -> Any:
    assert _AXE.is_file(), "axe-core is missing: `make install` brings it"
    return _AXE.read_text()
