"""What a receipt as a document costs, beside the least that the typesetter needs: one line as PDF/A-3b.

``python tests/bench/pdf.py`` prints it; ``make bench-receipts`` has it among the rest.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import typst

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.run import Figure, rounds, show, timed
from p402.exporters.documents.pdf import Receipt, render_receipt
from support.sample_log import sample_bundle, sample_log

AT_ONCE = 20


def documents(times: int) -> Callable[[], object]:
    """Set documents of anchored receipts; no two are the same, so that nothing can be remembered of them."""
    log = sample_log(64)
    bundles = [json.dumps(sample_bundle(log, seq), indent=1).encode() for seq in range(64)]
    numbers = count()

    def run() -> None:
        for _ in range(times):
            number = next(numbers)
            url = f"https://explore.example.com/tx/{number:064x}"
            render_receipt(Receipt(bundle=bundles[number % 64], explorer_url=url))

    return run


def one_line(times: int) -> Callable[[], object]:
    """Set documents of one line each, as archivable as ours."""
    source = b"#set document(title: [a])\n#sys.inputs.line"
    compiler = typst.Compiler(font_paths=typst.Fonts(include_system_fonts=False))
    numbers = count()

    def run() -> None:
        for _ in range(times):
            inputs = {"line": f"Receipt {next(numbers)}"}
            compiler.compile(source, format="pdf", pdf_standards=["a-3b", "ua-1"], sys_inputs=inputs, timestamp=0)

    return run


def figures() -> Iterator[Figure]:
    """Measure."""
    yield Figure(
        "a receipt as PDF/A-3b, two pages",
        rounds(timed(documents(AT_ONCE), AT_ONCE)),
        rounds(timed(one_line(AT_ONCE), AT_ONCE)),
        "typst, one line as PDF/A-3b",
    )


if __name__ == "__main__":
    show(figures())
