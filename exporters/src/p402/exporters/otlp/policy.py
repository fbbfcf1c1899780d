"""Which attributes a backend may see (pure)."""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

__all__ = ["AttributePolicy"]


@dataclass(frozen=True, slots=True)
class AttributePolicy:
    """Takes attributes away by name; a pattern may have ``*``."""

    drop: tuple[str, ...] = ()

    def apply(self, request: ExportTraceServiceRequest) -> None:
        """Take away what a backend may not see, in place."""
        if not self.drop:
            return
        for resource_spans in request.resource_spans:
            self._keep(resource_spans.resource.attributes)
            for scope_spans in resource_spans.scope_spans:
                self._keep(scope_spans.scope.attributes)
                for span in scope_spans.spans:
                    self._keep(span.attributes)
                    for event in span.events:
                        self._keep(event.attributes)
                    for link in span.links:
                        self._keep(link.attributes)

    def _keep(self, attributes: MutableSequence[KeyValue]) -> None:
        for place in reversed(range(len(attributes))):
            if _is_dropped(attributes[place].key, self.drop):
                del attributes[place]


@lru_cache(maxsize=8192)
def _is_dropped(key: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)
