"""Tells whether baggage in a context came from a peer that is not trusted, by way of another instrumentation.

Server instrumentations put any caller's baggage into the context, and say nothing of where it came from. But they also
start a span of kind SERVER that names the peer. So each such span that starts is judged by that address, and what
starts below it is believed as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

from opentelemetry.trace import Span, SpanKind

from p402.instrumentation.peers import TrustedPeers

if TYPE_CHECKING:  # whoever only marks attribution needs no SDK
    from opentelemetry.sdk.trace import Span as RecordedSpan

__all__ = ["believe_as", "is_believed", "judge"]

_PEER = ("network.peer.address", "client.address", "net.sock.peer.addr", "net.peer.ip")  # new names, and older ones
_believed: WeakSet[Span] = WeakSet()


def judge(span: RecordedSpan, parent: Span, trusted: TrustedPeers) -> bool:
    """Judge a span that starts, once; True if the baggage in its context is to be believed."""
    if span.kind is SpanKind.SERVER:
        attributes = span.attributes or {}
        address = next((str(attributes[name]) for name in _PEER if name in attributes), None)
        if address not in trusted:
            return False
        _believed.add(span)
        return True
    return believe_as(span, parent)


def believe_as(span: Span, parent: Span) -> bool:
    """Judge a span that starts as its parent was judged."""
    believed = is_believed(parent)
    if believed:
        _believed.add(span)
    return believed


def is_believed(current: Span) -> bool:
    """Tell whether baggage beside this current span is to be believed.

    It is, where there is no span, or one that was itself read from a message: then code put both there knowingly. It
    is not beside a local span that was never judged, because it is not recorded or comes from another TracerProvider.
    """
    known = current.get_span_context()
    return not known.is_valid or known.is_remote or current in _believed
