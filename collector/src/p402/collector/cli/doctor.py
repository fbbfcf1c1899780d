"""``p402 doctor``: check a set-up, and say what is wrong and what to do."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from p402.collector.settings import Settings, load_settings
from p402.collector.storage.backend import open_backend
from p402.collector.storage.migrate import revisions
from p402.receipts import ChainReader
from p402.receipts.errors import ChainUnavailable
from p402.vocabulary import Permanent

__all__ = ["add_to", "examine"]

_LEAST_FREE_BYTES = 1 << 30
_TIMEOUT = 5.0

Line = tuple[str, str]
"""A mark (✓ good, – a note, ✗ bad) and a sentence."""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "doctor",
        help="check this set-up",
        description="Check the settings, the data, the running collector, the settlement's chain, the backend of the "
        "collector's own traces, and, where it is installed beside, the instrumentation. Exit code 1 when something is wrong.",
    )
    parser.add_argument("--url", help="address of the running collector (default: where the settings say it listens)")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    bad = False
    for title, lines in examine(load_settings(), arguments.url):
        print(title)
        for mark, sentence in lines:
            bad = bad or mark == "✗"
            print(f"  {mark} {sentence}")
    if find_spec("p402.instrumentation") is not None:
        print("Instrumentation in this environment", flush=True)
        command = [sys.executable, "-m", "p402.instrumentation.doctor"]
        bad = subprocess.run(command, check=False).returncode != 0 or bad  # noqa: S603 - our own module
    return int(bad)


def examine(settings: Settings, url: str | None) -> Iterator[tuple[str, Iterator[Line]]]:
    """Look at everything the collector stands on, part by part."""
    yield "Data", _data(settings)
    listen = settings.listen
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    scheme = "http" if settings.tls_cert_file is None else "https"
    yield "Collector", _collector(url or f"{scheme}://{host}:{listen.port}")
    yield "Settlement", _settlement(settings)
    yield "Own traces", _own_traces(settings.own_traces_endpoint)


def _data(settings: Settings) -> Iterator[Line]:
    file = settings.database_file
    if settings.postgresql_url is None and not file.exists():
        yield "–", f"There is no database at {file}: `p402 serve` makes it, or P402_DATA_DIR says where it is."
        return
    try:
        backend = open_backend(settings)
        found, newest = revisions(backend)
        if found == newest:
            yield "✓", f"The database {backend.place} is at the current schema ({found})."
        else:
            yield (
                "✗",
                f"The database {backend.place} is at schema {found}, this version's is {newest}: run `p402 migrate`.",
            )
        for risk in backend.risks():
            yield "✗", risk
    except Permanent as error:
        yield "✗", str(error)
    if settings.postgresql_url is None:
        free = shutil.disk_usage(file.parent).free
        yield ("✓" if free >= _LEAST_FREE_BYTES else "✗"), f"{free / 1e9:,.1f} GB are free there."
    yield from _key_file("signs checkpoints", settings.log_key_file)


def _key_file(purpose: str, file: Path) -> Iterator[Line]:
    if not file.is_file():
        yield "✗", f"The key that {purpose} is missing: {file}."
    elif file.stat().st_mode & 0o077:
        yield "✗", f"The key that {purpose} can be read by others: chmod 600 {file}"
    else:
        yield "✓", f"The key that {purpose} is at {file}, readable by its owner only."


def _collector(url: str) -> Iterator[Line]:
    try:
        with urlopen(f"{url}/readyz", timeout=_TIMEOUT):  # noqa: S310 - the user's own address
            yield "✓", f"{url} runs and can record."
    except HTTPError as error:
        yield "✗", f"{url} answers {error.code} at /readyz: its log says why it cannot record."
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        where = "P402_LISTEN or --url says where it listens"
        yield "✗", f"{url} cannot be reached ({reason}): is `p402 serve` running there? {where}."


def _own_traces(endpoint: str | None) -> Iterator[Line]:
    if endpoint is None:
        yield "–", "The collector makes no traces of itself; P402_OWN_TRACES_OTLP_URL says where they would go."
        return
    from p402.collector.tracing.own_traces import try_backend  # noqa: PLC0415 - loads OpenTelemetry's SDK

    problem = try_backend(endpoint, _TIMEOUT)
    if problem is None:
        yield "✓", f"{endpoint} takes the collector's own traces."
    else:
        yield "✗", f"{endpoint} does not take the collector's own traces ({problem}): check P402_OWN_TRACES_OTLP_URL."


def _settlement(settings: Settings) -> Iterator[Line]:
    if not settings.settles or settings.settlement_key_file is None:
        yield "–", "Settlement is off: receipts are sealed and signed, but not anchored."
        return
    yield from _key_file("signs settlements", settings.settlement_key_file)
    from p402.collector.settlement.connect import connect  # noqa: PLC0415 - the chain's libraries load for a second

    try:
        settler = connect(settings)
        network = settler.network
        served = ChainReader(network.rpc_url, timeout=_TIMEOUT).chain_id()
    except (Permanent, ChainUnavailable) as error:
        yield "✗", str(error)
        return
    if served == network.chain_id:
        yield "✓", f"The node at {network.rpc_url} serves chain {served}; the payer is {settler.payer}."
    else:
        yield "✗", f"The node at {network.rpc_url} serves chain {served}, not {network.chain_id}: check the network."
