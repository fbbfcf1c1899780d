"""Commands of ``p402`` at a running collector, in this process, as whoever has an administrator's key calls them."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from p402.collector.cli import main
from support.collector import RunningCollector
from support.databases import kept_in

__all__ = ["Command", "command_at"]

Command = Callable[..., tuple[int, str, str]]
"""Runs an action; gives the exit code, what it printed, and its errors."""


def command_at(
    collector: RunningCollector, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Give a command by its name, such as ``budgets``."""
    for setting in [setting for setting in os.environ if setting.startswith("P402_")]:
        monkeypatch.delenv(setting)
    settings = {"P402_DATA_DIR": str(collector.data_dir), **kept_in(collector.data_dir, migrated=False).settings}
    for setting, value in settings.items():
        monkeypatch.setenv(setting, value)
    assert main(["keys", "create", "cli", "--scope", "admin"]) == 0
    monkeypatch.setenv("P402_API_KEY", capsys.readouterr().out.splitlines()[-1])
    monkeypatch.setenv("P402_COLLECTOR_URL", collector.url)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main([name, *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run
