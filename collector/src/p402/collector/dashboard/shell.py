"""What all pages have in common: the frame with its navigation, the headers that keep a browser safe, and the files that pages load."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from p402.collector.api.auth import Authenticator, Principal
from p402.collector.api.endpoint import Caller, Media, endpoint, routes_of
from p402.collector.api.problem import NotFound
from p402.collector.dashboard import format as formatting
from p402.collector.dashboard.assets import Assets
from p402.collector.dashboard.navigation import links_for
from p402.collector.dashboard.view import View
from p402.vocabulary import Clock

__all__ = ["HTML", "Frame", "Pages", "Shell"]

HTML = Media("text/html", about="A page for people.")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Vary": "Cookie, Authorization",
}
_KEPT = ("organisation", "period", "people")
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Frame:
    """What is around the content of a page."""

    organisation: str
    path: str
    view: View
    period: str
    """In words."""
    principal: Principal | None
    links: list[Any]
    periods: dict[str, str]
    extra: dict[str, str]
    """Parameters that every link keeps: the organisation, where the address names it, the period, and whether people are named."""
    live: bool
    """Whether the page refreshes itself when something has changed."""

    @property
    def stream(self) -> str:
        """The address of the stream that tells of changes."""
        named = {name: value for name, value in self.extra.items() if name == "organisation"}
        return f"/live?{urlencode(named)}" if named else "/live"

    def to(self, path: str, **query: str | None) -> str:
        """Give the address of another page, in the same period."""
        said = {name: value for name, value in {**self.extra, **query}.items() if value is not None}
        return f"{path}?{urlencode(said)}" if said else path

    def same(self, **changed: str | None) -> str:
        """Give the address of this page with some parameters changed; None takes one away."""
        return self.to(self.path, **self.view.parameters(**changed))


class Shell:
    """Renders pages; and serves the files that they load."""

    def __init__(self, authenticator: Authenticator, clock: Clock, default_organisation: str) -> None:
        self.authenticator = authenticator
        self.clock = clock
        self.default_organisation = default_organisation
        self._assets = Assets()
        self._templates = Environment(
            loader=PackageLoader("p402.collector", "dashboard/templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {name: getattr(formatting, name) for name in formatting.__all__}
        self._templates.globals["asset"] = self._assets.address

    def routes(self) -> list[web.RouteDef]:
        """Give the routes of the files."""
        return routes_of(self)

    def page(
        self,
        request: web.Request,
        caller: Caller,
        view: View,
        template: str,
        *,
        live: bool = True,
        status: int = 200,
        path: str | None = None,
        **values: Any,
    ) -> web.Response:
        """Render a page.

        Args:
            request: whose page it is.
            caller: who asks.
            view: what is asked for.
            template: its file in ``templates``; it extends ``layout.html``.
            live: whether it refreshes itself when something has changed.
            status: of the answer; another than 200 where a form is shown again.
            path: its own, where the request's is another: that of the form.
            values: what the template shows; ``frame`` is there already.
        """
        frame = self.frame(request, caller, view, live=live)
        frame = frame if path is None else replace(frame, path=path)
        return self.bare(template, status=status, frame=frame, **values)

    def frame(self, request: web.Request, caller: Caller, view: View, *, live: bool = False) -> Frame:
        """Give what is around a page, which knows the addresses of others."""
        now = self.clock.now()
        extra = {"organisation": caller.organisation} if "organisation" in request.query else {}
        extra |= view.model_dump(include={"period", "people"}, exclude_defaults=True)
        periods = dict(View.periods(now))
        return Frame(
            organisation=caller.organisation,
            path=request.rel_url.raw_path,
            view=view,
            period=periods.get(view.period, view.period),
            principal=caller.principal,
            links=links_for(caller.principal),
            periods=periods,
            extra=extra,
            live=live and view.is_now(now),
        )

    def see(self, request: web.Request, path: str, **query: str | None) -> web.Response:
        """Send a reader on to another page, after a change; the organisation, the period and whether people are named are kept."""
        kept = {name: request.query[name] for name in _KEPT if name in request.query}
        said = {name: value for name, value in {**kept, **query}.items() if value is not None}
        return web.Response(status=303, headers={"Location": f"{path}?{urlencode(said)}" if said else path, **_HEADERS})

    def bare(self, template: str, *, status: int = 200, **values: Any) -> web.Response:
        """Render a template that has no frame, such as the one to sign in with."""
        text = self._templates.get_template(template).render(**values)
        return web.Response(text=text, status=status, content_type="text/html", headers=_HEADERS)

    @endpoint(
        "GET /static/{name}",
        answers={200: (Media("text/css"), Media("text/javascript"), Media("image/svg+xml"), Media("text/plain"))},
        problems=(404,),
        sends=("Cache-Control",),
    )
    async def static(self, name: str) -> web.Response:
        """Give a file that pages load: a style, a script, the icon."""
        asset = self._assets.get(name)
        if asset is None:
            raise NotFound(f"There is no {name[:64]!r} here.")
        headers = {
            "Content-Type": asset.content_type,
            "Cache-Control": _FOR_EVER,
            "X-Content-Type-Options": "nosniff",
        }
        return web.Response(body=asset.body, headers=headers)


class Pages:
    """Handlers of pages, with the shell around what they show."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.authenticator = shell.authenticator
        self.default_organisation = shell.default_organisation

    def routes(self) -> list[web.RouteDef]:
        """Give the routes, in the order in which the handlers are written."""
        return routes_of(self)
