"""A page of many: what it leaves out it says, and everything still adds up."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from p402.collector.dashboard import spend
from p402.collector.storage.usage import SqlUsage
from support.otlp import ASpan
from support.server import serving


async def test_the_dearest_are_named_and_the_others_summed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spend, "_MOST_ROWS", 10)
    async with serving(tmp_path) as server:
        spans = [
            ASpan.of({"p402.employee": f"e-{number:02}", "gen_ai.usage.output_tokens": 1_000 * number})
            for number in range(13)
        ]
        await server.send(*spans)
        await SqlUsage(server.collector.database).follow(100)
        page = (await server.get("/spend/employee?organisation=acme")).body.decode()
        everything = re.search(r'Spent</span><b title="\$([\d.]+)"', page)
        assert everything is not None
        chart = page[: page.index("</figure>")]
        assert "others" in chart
        assert sum(map(Decimal, re.findall(r'data-v="([\d.]+)"', chart))) == Decimal(everything[1])
        rows = page[page.index('id="rows"') :]
        assert len(re.findall(r"/sessions\?", rows)) == 10
        assert "3 others" in rows
        shown = re.findall(r'<td class="n" title="\$([\d.]+)">', rows[: rows.index("<tfoot>")])
        assert sum(map(Decimal, shown)) == Decimal(everything[1])
