"""A FOCUS export of a real collector's data, before the FinOps Foundation's own validator."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from p402.collector.markup_settings import MarkupSettings
from support.exporting import exported, sealed_sessions
from support.focus_validator import KNOWN_CONTRADICTION, failed_rules
from support.otlp import ASpan
from support.server import bearer, serving

CACHED = {
    "p402.session": "cached",
    "gen_ai.usage.cache_read.input_tokens": 1000,
    "gen_ai.usage.cache_creation.input_tokens": 500,
}


@pytest.mark.timeout(600)  # makes an environment when it is the first to need it
async def test_an_export_passes_the_validator_but_for_the_rule_that_contradicts_itself(tmp_path: Path) -> None:
    markup = (MarkupSettings(client="globex", percent=Decimal("12.5")),)
    async with serving(tmp_path, markup=markup) as server:
        await sealed_sessions(server)
        await server.send(
            ASpan.of(CACHED),
            ASpan.of(
                {"p402.session": "unsealed", "gen_ai.response.model": "gpt-5-mini", "gen_ai.provider.name": "openai"}
            ),
        )
        await server.seal("cached")
        server.clock.advance(days=20)
        admin = bearer(await server.key("admin", organisation="acme"))
        assert (await server.ask("POST", "/v1/periods/2026-05/close", headers=admin)).status == 200
        await server.send(ASpan.of({"p402.session": "late"}))
        _, files = await exported(server, None, format="focus")
    focus = tmp_path / "focus.csv"
    focus.write_bytes(files["focus.csv"])
    assert set(failed_rules(focus)) == {KNOWN_CONTRADICTION}
