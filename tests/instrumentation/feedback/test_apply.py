"""What decisions change, in every dialect: under which name, and in the URL where the model is there."""

from __future__ import annotations

from typing import Any

import pytest

from p402.decisions import Code, Decision, Verdict
from p402.instrumentation import inspection
from p402.instrumentation.feedback.apply import changed_body, changed_path
from p402.instrumentation.feedback.refusal import refusal
from p402.instrumentation.providers import recognise
from support.guarded import guarded
from support.metering import MESSAGES, Llm


def a_decision(model: str = "asked", output_tokens: int | None = None, **values: Any) -> Decision:
    known = {"verdict": Verdict.CLAMP, "code": Code.BUDGET_EXHAUSTED, "rationale": "budget=legal", "holds": {}}
    return Decision(**{**known, "model": model, "output_tokens": output_tokens, **values})


CHAT, MESSAGES_PATH = "/v1/chat/completions", "/v1/messages"
GEMINI = "/v1beta/models/asked:generateContent"
AZURE = "/openai/deployments/asked/chat/completions"


@pytest.mark.parametrize(
    ("host", "path", "body", "changed"),
    [
        ("api.openai.com", CHAT, {}, {"max_completion_tokens": 700}),
        ("api.openai.com", CHAT, {"max_tokens": 900}, {"max_tokens": 700}),
        ("api.openai.com", "/v1/completions", {}, {"max_tokens": 700}),
        ("api.openai.com", "/v1/responses", {"input": "x"}, {"input": "x", "max_output_tokens": 700}),
        ("api.mistral.ai", CHAT, {}, {"max_tokens": 700}),
        ("api.anthropic.com", MESSAGES_PATH, {"max_tokens": 900}, {"max_tokens": 700}),
        (
            "api.anthropic.com",
            MESSAGES_PATH,
            {"thinking": {"type": "enabled", "budget_tokens": 4_000}},
            {"max_tokens": 700, "thinking": {"type": "disabled"}},
        ),
        (
            "api.cohere.com",
            "/v2/chat",
            {"thinking": {"token_budget": 900}},
            {"max_tokens": 700, "thinking": {"token_budget": 350}},
        ),
        ("ollama.com", "/api/chat", {"options": {"seed": 1}}, {"options": {"seed": 1, "num_predict": 700}}),
        (
            "generativelanguage.googleapis.com",
            GEMINI,
            {"generationConfig": {"topK": 1, "thinkingConfig": {"thinkingBudget": 2_000}}},
            {"generationConfig": {"topK": 1, "maxOutputTokens": 700, "thinkingConfig": {"thinkingBudget": 350}}},
        ),
    ],
)
def test_a_limit_goes_under_the_name_that_the_dialect_has(
    host: str, path: str, body: dict[str, Any], changed: dict[str, Any]
) -> None:
    route = recognise(host, path)
    assert route is not None
    before = {**body}
    assert changed_body(route, path, body, "asked", a_decision(output_tokens=700)) == changed
    assert body == before


def test_a_limit_is_never_below_one_and_a_budget_for_thinking_leaves_room_for_the_answer() -> None:
    route = recognise("api.anthropic.com", MESSAGES_PATH)
    assert route is not None
    body = {"thinking": {"type": "enabled", "budget_tokens": 9_000}}
    changed = changed_body(route, MESSAGES_PATH, body, "asked", a_decision(output_tokens=4_000))
    assert changed == {"max_tokens": 4_000, "thinking": {"type": "enabled", "budget_tokens": 2_000}}
    assert changed_body(route, MESSAGES_PATH, {}, "asked", a_decision(output_tokens=0)) == {"max_tokens": 1}


@pytest.mark.parametrize(
    ("path", "other"),
    [
        (GEMINI, "/v1beta/models/other:generateContent"),
        (AZURE, "/openai/deployments/other/chat/completions"),
        (
            "/v1/projects/p/locations/l/publishers/google/models/asked:streamGenerateContent",
            "/v1/projects/p/locations/l/publishers/google/models/other:streamGenerateContent",
        ),
        (CHAT, None),
    ],
)
def test_the_model_is_changed_in_the_path_where_it_is_there(path: str, other: str | None) -> None:
    assert changed_path(path, "asked", a_decision("other")) == other
    assert changed_path(path, "asked", a_decision("asked")) is None


def test_a_refusal_tells_the_reason_and_says_that_trying_again_is_of_no_use() -> None:
    decision = a_decision(verdict=Verdict.BLOCK)
    for dialect in ("openai", "anthropic", "gcp.gemini", "cohere", "ollama", "aws.bedrock"):
        written = refusal(dialect, decision)
        assert b"budget_exhausted" in written.body
        assert b"budget=legal" in written.body
        assert written.headers["x-should-retry"] == "false"


async def test_when_our_own_code_fails_the_call_goes_on_and_nothing_stays_taken(
    llm: Llm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(inspection, "changes", fail)
    with guarded(cap=10**11) as (feedback, spans):
        async with llm.openai() as client:
            for _ in range(2):
                answer = await client.chat.completions.create(
                    model="gpt-4o", messages=MESSAGES, max_completion_tokens=9
                )
                assert answer.choices
    assert len(llm.providers.requests) == 2
    assert (feedback.held, spans.calls) == (0, [])
