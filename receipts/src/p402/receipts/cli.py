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
from p402.receipts._note import VerifierKey
from p402.receipts._report import Outcome, Report, Status
from p402.receipts._statement import normalise_address
from p402.receipts._verify import Trust, verify
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
            verifier_keys=tuple(key for text in arguments.key for key in _read_keys(text)),
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
        description="Check that receipts are genuine: unchanged, in the log, and anchored on the Tempo chain. "
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
        help="a key of the log (name+id+base64), or a file with one a line; get it from the log's operator by another "
        "way than the bundle; may be repeated",
    )
    parser.add_argument(
        "--rpc", metavar="URL", help="a node of the chain that you trust; without it anchors stay unchecked"
    )
    parser.add_argument("--payer", metavar="ADDRESS", help="the account that must have anchored or paid")
    parser.add_argument("--token", metavar="ADDRESS", help="the token that it must have been in")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def _read_keys(text: str) -> list[str]:
    """Take a key as it is, or read a file of keys; raise Malformed if there is none."""
    lines = [text] if "+" in text and not Path(text).is_file() else Path(text).read_text(encoding="utf-8").splitlines()
    keys = [str(VerifierKey.parse(line.strip())) for line in lines if line.strip()]
    if not keys:
        raise Malformed(f"{text} holds no key.")
    return keys


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
