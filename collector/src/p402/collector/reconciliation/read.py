"""Reads an export of whichever provider."""

from __future__ import annotations

from p402.collector.reconciliation.anthropic import read_anthropic
from p402.collector.reconciliation.files import read_rows
from p402.collector.reconciliation.google import read_google
from p402.collector.reconciliation.lines import ExportUnreadable, ProviderExport
from p402.collector.reconciliation.openai import read_openai

__all__ = ["read_export"]

_READERS = (read_anthropic, read_openai, read_google)


def read_export(data: bytes) -> ProviderExport:
    """Find out what a file is, and read it.

    Raises:
        ExportUnreadable: if nobody exports such files, or a value in it cannot be.
    """
    rows = read_rows(data)
    for reader in _READERS:
        export = reader(rows)
        if export is not None:
            if rows.unfinished:
                raise ExportUnreadable("The export's last page says that there are more: add the pages that follow.")
            return export
    named = ", ".join(sorted(rows.names)[:8])
    raise ExportUnreadable(
        f"This is no export of OpenAI, Anthropic or Google that we know; its columns are {named}. The README lists those that can be read."
    )
