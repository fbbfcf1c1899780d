"""Turns the instrumentation on and off: hooks, span processors, and one line that says what is on."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Collection, Mapping
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from opentelemetry import trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined] # it has no types
from opentelemetry.sdk.trace import TracerProvider

from p402.instrumentation.attribution import set_defaults
from p402.instrumentation.batches import Downloads
from p402.instrumentation.call_spans import CallSpans, OwnProvider
from p402.instrumentation.clients import Hook, hook_clients, uncovered_sdks
from p402.instrumentation.clients.websockets import WebsocketsHook
from p402.instrumentation.content import Content
from p402.instrumentation.delivery import Delivery
from p402.instrumentation.feedback.client import Guard
from p402.instrumentation.guard import guard
from p402.instrumentation.inspection import Inspector
from p402.instrumentation.outlet import already_sent, delivery_to_collector, gate_of
from p402.instrumentation.processor import AttributionProcessor, CollectorProcessor, Switch
from p402.instrumentation.settings import Settings
from p402.vocabulary import Attribution

__all__ = ["P402Instrumentor"]

_logger = logging.getLogger("p402.instrumentation")


class P402Instrumentor(BaseInstrumentor):  # type: ignore[misc] # it has no types
    """OpenTelemetry's handle on us: ``instrument()`` and ``uninstrument()``. There is one for the process.

    ``instrument`` takes, for those who configure in code, ``tracer_provider`` (default: the global one, made if there
    is none) and ``environment`` (default: the process's).
    """

    _switches: ClassVar[WeakKeyDictionary[trace.TracerProvider, Switch]] = WeakKeyDictionary()
    _switch: Switch | None = None
    _delivery: Delivery | None = None
    _budgets: Guard | None = None
    _hooks: Mapping[str, Hook] = {}
    _downloads: Downloads | None = None
    _websockets: WebsocketsHook | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Require nothing: each client is hooked if it is there."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        with guard("starting"):
            environment: Mapping[str, str] = kwargs.get("environment", os.environ)
            settings = Settings.from_environment(environment)
            if settings.disabled:
                _logger.warning("P402 Meter is switched off by P402_DISABLED; nothing is hooked.")
                return
            set_defaults(settings.defaults, settings.task_type, settings.data_class)
            provider, is_ours = self._provider(kwargs.get("tracer_provider"))
            delivery = self._delivery = delivery_to_collector(settings, environment)
            atexit.register(delivery.shutdown)  # a TracerProvider may be without a hook of its own, or be disabled
            destination = self._add_processors(provider, delivery, settings, environment, is_ours=is_ours)
            spans = CallSpans(provider, delivery.put)
            content = Content(settings.content_mode, settings.fingerprint_key)
            self._downloads = Downloads(spans.start_again, delivery.has_room)
            gate = None
            if settings.budgets:
                gate, self._budgets = gate_of(settings, environment, delivery)
                atexit.register(self._budgets.shutdown)  # before the delivery's, which was registered earlier
            inspector = Inspector(spans, settings.baggage_hosts, settings.openai_hosts, content, self._downloads, gate)
            self._hooks = hook_clients(inspector)
            self._websockets = WebsocketsHook(settings.openai_hosts)
            _report(self._hooks, destination)

    def _uninstrument(self, **kwargs: Any) -> None:
        del kwargs
        for name, hook in self._hooks.items():
            with guard(f"unhooking {name}"):
                hook.remove()
        self._hooks = {}
        if self._websockets is not None:
            with guard("unhooking websockets"):
                self._websockets.remove()
            self._websockets = None
        if self._downloads is not None:
            self._downloads.shutdown()
            self._downloads = None
        if self._budgets is not None:
            atexit.unregister(self._budgets.shutdown)
            self._budgets.shutdown()
            self._budgets = None
        if self._switch is not None:
            self._switch.turn_off()
            self._switch = None
        if self._delivery is not None:
            atexit.unregister(self._delivery.shutdown)
            self._delivery.shutdown()
            self._delivery = None
        set_defaults(Attribution(), None)

    def _provider(self, given: trace.TracerProvider | None) -> tuple[trace.TracerProvider, bool]:
        """Give the TracerProvider to use, and whether we made it; the one we make becomes the global one."""
        provider = given or trace.get_tracer_provider()
        if (
            given is not None
            or hasattr(provider, "add_span_processor")
            or not isinstance(provider, trace.ProxyTracerProvider)
        ):
            return provider, False
        switch = Switch()
        ours = OwnProvider(switch)
        self._switches[ours] = switch
        trace.set_tracer_provider(ours)
        return ours, True

    def _add_processors(
        self,
        provider: trace.TracerProvider,
        delivery: Delivery,
        settings: Settings,
        environment: Mapping[str, str],
        *,
        is_ours: bool,
    ) -> str:
        """Add attribution and the way to the collector; say where the spans of recorded traces go."""
        if not isinstance(provider, TracerProvider):
            return f"wherever {type(provider).__qualname__} sends them"
        switch = self._switches.get(provider)
        if switch is None:
            switch = self._switches[provider] = Switch()
            provider.add_span_processor(switch)
        self._switch = switch
        sent = not is_ours and already_sent(settings, environment)
        switch.turn_on(AttributionProcessor(settings.trusted_peers), CollectorProcessor(delivery, sampled=not sent))
        return f"{settings.collector_url} by OpenTelemetry's own exporter" if sent else settings.collector_url


def _report(hooks: Mapping[str, Hook], destination: str) -> None:
    _logger.info("P402 Meter is on: hooked %s; spans go to %s.", ", ".join(hooks) or "no HTTP client", destination)
    for sdk in uncovered_sdks(hooks):
        _logger.warning("P402 Meter does not see the calls of %s: that client is not hooked.", sdk)
