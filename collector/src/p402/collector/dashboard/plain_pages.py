"""The templates of pages that people see before they are anybody, and how such a page is sent."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["page", "page_templates"]

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def page_templates() -> Environment:
    """Load the templates."""
    return Environment(
        loader=PackageLoader("p402.collector", "dashboard/templates"), autoescape=True, undefined=StrictUndefined
    )


def page(templates: Environment, name: str, *, status: int = 200, **values: Any) -> web.Response:
    """Render a page that no browser keeps."""
    text = templates.get_template(name).render(**values)
    return web.Response(text=text, status=status, content_type="text/html", headers=_HEADERS)
