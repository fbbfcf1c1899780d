"""``p402-verify``: checks a bundle of receipts on the auditor's own machine, against keys that the auditor pins."""

from __future__ import annotations

import argparse
import io
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from p402.receipts._chain import ChainReader
from p402.receipts._pins import read_checkpoint, read_keys
from p402.receipts._report import Outcome, Report, Status
from p402.receipts._statement import normalise_address
from p402.receipts._trust import Trust
from p402.receipts._verify import verify
from p402.receipts.errors import Malformed

__all__ = ["main"]

_EXIT_CODES = {Outcome.VERIFIED: 0, Outcome.FAILED: 1, Outcome.INCOMPLETE: 3}
_MARKS = {Status.OK: "✓", Status.FAILED: "✗", Status.NOT_CHECKED: "–"}

_EPILOG = """\
what the links mean
  format       the file is a bundle
  body         the receipt is canonical JSON
  checkpoint   a key that you pinned signed the state of the log
  inclusion    the receipt, byte for byte, is in the log in that state
  consistency  the states of the log that are spoken of, and those that you
               pinned, are one log that only grew
  complete     no entry of the range is missing
  disclosures  disclosed names belong to the receipt
  statement    the settlement names that state of the log, and its amounts add up
  memo         the settlement is the one that was put onto the chain
  anchor       the chain has it, in a finalized block

exit codes
  0  verified     every link was checked and holds
  1  FAILED       a link is broken; the last line names the first one
  2               the command cannot be run as it was given
  3  incomplete   nothing is broken, but not everything was checked

example
  p402-verify bundle.json --key acme.vkey --rpc https://rpc.tempo.xyz --payer 0xf39f…2266
  p402-verify october.json --key acme.vkey --checkpoint september.txt --complete
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and give its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a console without ✓ must not stop an audit
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        bundle = sys.stdin.buffer.read() if arguments.bundle == "-" else Path(arguments.bundle).read_bytes()
        trust = Trust(
            verifier_keys=tuple(key for text in arguments.key for key in read_keys(text)),
            checkpoints=tuple(read_checkpoint(Path(file)) for file in arguments.checkpoint),
            complete=arguments.complete,
            rpc=None if arguments.rpc is None else ChainReader(arguments.rpc),
            payer=None if arguments.payer is None else normalise_address(arguments.payer),
            token=None if arguments.token is None else normalise_address(arguments.token),
        )
    except (OSError, Malformed, UnicodeDecodeError) as error:
        parser.error(str(error))
    report = verify(bundle, trust)
    print(json.dumps(report.to_json(), indent=2) if arguments.json else _text(report))
    return _EXIT_CODES[report.outcome]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="p402-verify",
        description="Check that receipts are genuine: unchanged, in the log, and anchored on the Tempo chain.\n"
        "The bundle is trusted in nothing; what you trust you name below.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", help="the bundle's file, or - for standard input")
    parser.add_argument(
        "--key",
        action="append",
        required=True,
        metavar="VKEY|FILE",
        help="a key of the log (name+id+base64), or a file with one a line, or the operator's /.well-known/receipt-keys as you "
        "kept it; get it by another way than the bundle; may be repeated. Two numbers after a key are the sizes of the first "
        "and of the last checkpoint that it may sign",
    )
    parser.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="FILE",
        help="a checkpoint of the log that you kept from earlier: the log must begin with it; may be repeated",
    )
    parser.add_argument(
        "--complete", action="store_true", help="the bundle must be a range of the log that nothing is left out of"
    )
    parser.add_argument(
        "--rpc", metavar="URL", help="a node of the chain that you trust; without it anchors stay unchecked"
    )
    parser.add_argument("--payer", metavar="ADDRESS", help="the account that must have anchored or paid")
    parser.add_argument("--token", metavar="ADDRESS", help="the token that it must have been in")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def _text(report: Report) -> str:
    lines = []
    for subject, checks in itertools.groupby(report.checks, key=lambda check: check.subject):
        lines.append(subject)
        lines.extend(f"  {_MARKS[check.status]} {check.link.value:<12} {check.sentence}" for check in checks)
    return "\n".join([*lines, "", _verdict(report)])


def _verdict(report: Report) -> str:
    if report.broken is not None:
        return f"FAILED: {report.broken.value}"
    unchecked = {check.link: None for check in report.checks if check.status is Status.NOT_CHECKED}
    return f"incomplete: {', '.join(unchecked)} not checked" if unchecked else "verified"
