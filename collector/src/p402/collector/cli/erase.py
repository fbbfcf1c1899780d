"""``p402 erase``: erase a person from a running collector."""

from __future__ import annotations

import argparse

from p402.collector.cli.remote import Remote, add_options, remote_of

__all__ = ["add_to"]


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "erase",
        help="erase a person: what is personal of their receipts, and their names in every table",
        description="Erase a person (GDPR Art. 17): delete what is personal of their receipts, and put pseudonyms in the "
        "place of their id and of their sessions' names everywhere. It cannot be undone. Sums and proofs stay as they are; "
        "what a legal hold covers stays until that is released.",
    )
    parser.add_argument("employee", help="the employee's id")
    parser.add_argument("--legal-basis", required=True, metavar="TEXT", help='such as "GDPR Art. 17(1)(b)"; no names')
    parser.add_argument("--by", required=True, metavar="ID", help="who decided so")
    add_options(parser)
    parser.set_defaults(run=lambda parsed: _erase(remote_of(parsed), parsed))


def _erase(remote: Remote, parsed: argparse.Namespace) -> int:
    body = {"subject": {"employee": parsed.employee}, "legal_basis": parsed.legal_basis, "by": parsed.by}
    made = remote.ask("POST", "/v1/erasures", body)
    print(f"{made['erasure_id']} is {made['state']}: {made['erased']} disclosures deleted; now {made['pseudonym']}")
    if made["held_back"] or made["state"] == "held":
        print(f"{made['held_back']} disclosures are kept by legal holds: {', '.join(made['matters'])}")
    if made["scrubbed_at"] is None:
        print("Freed space of the database is overwritten as soon as it can be locked.")
    return 0
