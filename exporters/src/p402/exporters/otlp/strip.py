"""Takes out of spans what may hold prompts, answers or secrets, whichever instrumentation put it there (pure).

Other instrumentations send content by default: under the names of the GenAI conventions, old and new, of OpenInference
of OpenLLMetry and of frameworks, in events, in messages of exceptions, and keys in the query of URLs. Names, ids, counts and times stay.
"""

from __future__ import annotations

import re
from collections.abc import MutableSequence
from functools import lru_cache

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

__all__ = ["strip"]

_CONTENT = re.compile(
    r"gen_ai\.(input|output)\.messages|gen_ai\.system_instructions|gen_ai\.tool\.(definitions|call\.(arguments|result))"
    r"|gen_ai\.(prompt|completion)(\.(\d+)\..*|)|gen_ai\.content\..*|gen_ai\.(request|response)\.(messages|prompt|body)"
    r"|gen_ai\.evaluation\.explanation|gen_ai\.retrieval\.(query\.text|documents)"
    r"|(input|output)\.value|llm\.(input_messages|output_messages|prompts|completions|prompt_template|tools|function_call)(\..*)?"
    r"|llm\.(request|response)\.(body|content)|llm\.invocation_parameters|message\.content.*"
    r"|(retrieval|reranker)\..*|document\.content|embedding\.(embeddings|text|vector).*|tool\.(parameters|output|result).*|tool_call\..*arguments.*"
    r"|traceloop\.entity\.(input|output)|traceloop\.association\.properties\..*"
    r"|ai\.(prompt|response\.(text|object|toolCalls|reasoning)|toolCall\.(args|result)|value|values|embedding|embeddings)(\..*)?"
    r"|(request|response)_data|(pydantic_ai\.)?all_messages(_events)?|final_result|tool_(arguments|response)|logfire\.(msg|json_schema)"
    r"|langfuse\.(observation|trace)\.(input|output|metadata.*)|mlflow\.span(Inputs|Outputs)|error\.message"
    r"|http\.(request|response)\.(body|header\..*)|rpc\.(request|response)\.(body|metadata\..*)|baggage(\..*)?"
)
_EXCEPTION_TEXT = frozenset({"exception.message", "exception.stacktrace"})
_URLS = frozenset({"url.full", "http.url", "http.target", "url.query", "url.path_with_query"})
_EVENTS_OF_CONTENT = re.compile(r"gen_ai\..*(message|choice|prompt|completion|operation\.details).*")
_STRIPPED = "p402.content.stripped"
_LONGEST = 2_000  # characters of a text that is no content whatever its name is; Grafana Tempo cuts at 2,048


def strip(request: ExportTraceServiceRequest) -> int:
    """Take content out of all spans of a request, in place; returns from how many spans something was taken.

    Such a span gets the attribute ``p402.content.stripped``, so that a reader knows why it is empty.
    """
    changed = 0
    for resource_spans in request.resource_spans:
        _keep(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            _keep(scope_spans.scope.attributes)
            for span in scope_spans.spans:
                if _strip_span(span):
                    span.attributes.add(key=_STRIPPED).value.bool_value = True
                    changed += 1
    return changed


def _strip_span(span: Span) -> bool:
    changed = _keep(span.attributes)
    for event in span.events:
        if _EVENTS_OF_CONTENT.fullmatch(event.name):
            changed |= bool(event.attributes)
            del event.attributes[:]
        else:
            changed |= _keep(event.attributes)
    for link in span.links:
        changed |= _keep(link.attributes)
    if span.status.message:  # what SDKs copy from the exception
        span.status.message = ""
        changed = True
    return changed


def _keep(attributes: MutableSequence[KeyValue]) -> bool:
    """Keep what is no content; tells whether something was taken away."""
    taken = [place for place, pair in enumerate(attributes) if _is_content(pair)]
    for place in reversed(taken):
        del attributes[place]
    changed = bool(taken)
    for pair in attributes:
        if pair.key in _URLS and (cut := _without_query(pair.key, pair.value.string_value)) is not None:
            pair.value.string_value = cut
            changed = True
    return changed


def _is_content(pair: KeyValue) -> bool:
    return _is_named_so(pair.key) or len(pair.value.string_value) > _LONGEST


@lru_cache(maxsize=4096)
def _is_named_so(key: str) -> bool:
    return key in _EXCEPTION_TEXT or _CONTENT.fullmatch(key) is not None


def _without_query(key: str, url: str) -> str | None:
    """Cut the query and the user of a URL; None if it has neither."""
    if key == "url.query":
        return "" if url else None
    plain = re.sub(r"(?<=://)[^/@]*@", "", url).partition("?")[0].partition("#")[0]
    return None if plain == url else plain
