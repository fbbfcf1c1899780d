"""Where a request comes from and where a browser may be sent: our own pages only (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

__all__ = ["SAFE_METHODS", "is_cross_origin", "local_path"]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, section 9.2.1)."""

_LONGEST_PATH = 2_000
_KEPT = "/?#[]@!$&'()*+,;=:%-._~"


def is_cross_origin(method: str, headers: Mapping[str, str], host: str, public_url: str | None = None) -> bool:
    """Tell whether a page of somebody else makes a browser send this request, which changes something.

    Browsers say where a request comes from in ``Sec-Fetch-Site``; those that do not (old ones, and over plain HTTP from
    another machine) say it in ``Origin``. What sends neither is no browser. Source: ``net/http.CrossOriginProtection`` of
    Go 1.25, and OWASP's Cross-Site Request Forgery Prevention.

    Args:
        method: of the request.
        headers: of the request; looked up in any case.
        host: what it calls us.
        public_url: what people call us, where a proxy calls us something else.
    """
    if method in SAFE_METHODS:
        return False
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site is not None:
        return site not in ("same-origin", "none")
    if origin is None:
        return False
    try:
        theirs = urlsplit(origin).netloc
    except ValueError:
        return True
    return not theirs or theirs not in (host, urlsplit(public_url or "").netloc)


def local_path(wanted: str | None) -> str:
    r"""Give the path of a page of ours that somebody is to be sent to; ``/`` if it is none.

    Browsers read ``//elsewhere``, ``/\elsewhere`` and tabs inside of these as addresses of other hosts.
    """
    if not wanted or len(wanted) > _LONGEST_PATH or not wanted.isprintable():
        return "/"
    if not wanted.startswith("/") or wanted.startswith("//") or "\\" in wanted or " " in wanted:
        return "/"
    return quote(wanted, safe=_KEPT)
