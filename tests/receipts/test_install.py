"""What an auditor installs: light, and clear about what is missing."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("web3", "pytempo", "eth_account", "aiohttp", "pydantic", "opentelemetry", "sqlalchemy", "p402.collector")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_the_verifier_imports_nothing_heavy() -> None:
    code = f"import sys, p402.receipts.cli, p402.receipts.settlement; print([m for m in {HEAVY} if m in sys.modules])"
    assert run(code) == "[]\n"


def test_settling_without_the_extra_says_how_to_install_it() -> None:
    code = (
        "import sys; sys.modules['web3'] = None\n"
        "try: import p402.receipts.settlement.tempo\n"
        "except ImportError as error: print(type(error).__name__, error)"
    )
    assert run(code).startswith("ExtraMissing Settling on Tempo needs an extra: pip install 'p402-receipts[tempo]'")
