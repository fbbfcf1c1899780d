"""``p402 log``: the keys of the logs, new keys, and a check of everything that the database holds of the logs."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path

from p402.collector.cli.database import opened
from p402.collector.sessions.signing import LogSigners
from p402.collector.settings import load_settings
from p402.collector.storage.database import Database
from p402.collector.storage.log_check import LogReport, check_log
from p402.collector.storage.log_keys import keys_of_log
from p402.collector.storage.log_upkeep import SqlLogs, organisations_with_logs
from p402.receipts import PinnedKey, RotationReason, read_checkpoint, read_keys
from p402.vocabulary import Permanent, SystemClock, rfc3339

__all__ = ["add_to"]

_OVERLAP_DAYS = 7


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("log", help="check the logs of receipts, and rotate the keys that sign them")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    keys = actions.add_parser("keys", help="print the keys of the logs, for auditors to pin")
    keys.add_argument("--organisation", metavar="ID", help="only of this organisation's log")
    keys.set_defaults(run=lambda parsed: _with_database(lambda *given: _keys(parsed, *given)))
    rotate = actions.add_parser(
        "rotate",
        help="make a new key and give it to every log",
        description="Make a new key beside the others, append an entry about it to every log, and sign with it from there on. The "
        "old key signs too for a while, so that whoever pinned it can learn of the new one; not if it was compromised. Other "
        "collectors of the database need the new file beside theirs. Run it where the keys are.",
    )
    rotate.add_argument(
        "--reason",
        choices=[reason.value for reason in RotationReason],
        default=RotationReason.SCHEDULED.value,
        help="compromised: the old key signs nothing any more, from now on",
    )
    rotate.add_argument(
        "--overlap-days",
        type=int,
        metavar="N",
        help=f"how long the old key signs beside the new one (default {_OVERLAP_DAYS})",
    )
    rotate.set_defaults(run=lambda parsed: _with_database(lambda *given: _rotate(parsed, *given)))
    check = actions.add_parser(
        "check",
        help="recompute the logs from their entries and compare all that the database says of them",
        description="Recompute every log from the bodies of its entries: leaves, tree, roots; and compare them with the stored "
        "nodes, the signed checkpoints, the settlements, and checkpoints that you kept elsewhere. Exit code 1 when something "
        "is wrong. Who can write to the database and has the key can only be found out by what was kept elsewhere.",
    )
    check.add_argument("--organisation", metavar="ID", help="only this organisation's log")
    check.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="VKEY|FILE",
        help="the keys that may have signed, as for p402-verify (default: those whose files are here)",
    )
    check.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="FILE",
        help="a checkpoint that was kept elsewhere; may be repeated",
    )
    check.add_argument("--json", action="store_true", help="print the report as JSON")
    check.set_defaults(run=lambda parsed: _with_database(lambda *given: _check(parsed, *given)))


Action = Callable[[Database, LogSigners], Awaitable[int]]


def _with_database(action: Action) -> int:
    async def run() -> int:
        settings = load_settings()
        async with opened(settings) as database:
            return await action(database, LogSigners(settings.log_key_file, settings.receipt_origin))

    return asyncio.run(run())


async def _organisations(database: Database, only: str | None) -> Sequence[str]:
    found = await database.read(organisations_with_logs)
    if only is None:
        return found
    if only not in found:
        raise Permanent(f"The organisation {only!r} has no log here. There are: {', '.join(found) or 'none'}.")
    return [only]


async def _keys(parsed: argparse.Namespace, database: Database, _: LogSigners) -> int:
    organisations = await _organisations(database, parsed.organisation)
    if not organisations:
        raise Permanent(
            "There is no log yet, so there are no keys to pin: an organisation's begins with its first receipt."
        )
    for organisation in organisations:
        for key in await database.read(partial(keys_of_log, organisation=organisation)):
            last = () if key.last_size is None else (key.last_size,)
            print(key.vkey, key.since_size, *last)
    return 0


async def _rotate(parsed: argparse.Namespace, database: Database, signers: LogSigners) -> int:
    reason, now = RotationReason(parsed.reason), SystemClock().now()
    compromised = reason is RotationReason.COMPROMISED
    days = _OVERLAP_DAYS if parsed.overlap_days is None else parsed.overlap_days
    if (compromised and parsed.overlap_days) or not 0 <= days <= 3650:  # noqa: PLR2004 - ten years
        raise Permanent("--overlap-days is 0 to 3650; a key that was compromised does not overlap with the next one.")
    store = SqlLogs(database, signers)
    signers.make_key_if_missing()
    if not compromised and (left := await store.not_on_newest_key()):
        print(f"A rotation was begun before: {len(left)} logs get the key that was made for it.")
    else:
        print(
            f"The new key is {signers.make_next_key()}. Copy it to the other collectors of this database, if there are any."
        )
    until = now if compromised else now + timedelta(days=days)
    rotated = await store.rotate(reason, until, now)
    for organisation in rotated:
        print(f"{organisation}: {signers.signer(organisation).verifier_key}")
    old = "signs nothing any more" if until <= now else f"signs beside it until {rfc3339(until)}"
    print(
        f"{len(rotated)} logs have the new key; the old one {old}. Tell your auditors: `p402 log keys` prints what to pin."
    )
    return 0


async def _check(parsed: argparse.Namespace, database: Database, signers: LogSigners) -> int:
    try:
        given = [key for text in parsed.key for key in read_keys(text)]
        kept = [read_checkpoint(Path(file)) for file in parsed.checkpoint]
    except OSError as error:
        raise Permanent(f"What was kept elsewhere cannot be read: {error}.") from error
    reports = []
    origins = set()
    for organisation in await _organisations(database, parsed.organisation):
        keys = signers.signer(organisation)
        origins.add(keys.origin)
        trusted = given or [PinnedKey(signer.verifier_key) for signer in keys.all()]
        pinned = [checkpoint for checkpoint in kept if checkpoint.origin == keys.origin]
        checking = partial(check_log, organisation=organisation, trusted=trusted, pinned=pinned)
        reports.append(await database.read(checking))
    if strange := [checkpoint.origin for checkpoint in kept if checkpoint.origin not in origins]:
        raise Permanent(f"There is no log {', '.join(strange)} here, which a checkpoint that you gave is of.")
    if parsed.json:
        print(json.dumps([asdict(report) for report in reports], indent=2))
    else:
        print("\n".join(line for report in reports for line in _lines(report)) or "There is no log yet.")
    return 1 if any(report.findings for report in reports) else 0


def _lines(report: LogReport) -> list[str]:
    pruned = f", {report.pruned} of them deleted by retention but for their hashes" if report.pruned else ""
    lines = [f"{report.organisation}: {report.size} entries{pruned}, {report.checkpoints} checkpoints"]
    lines += [f"  ✗ {finding.fault}: {finding.sentence}" for finding in report.findings]
    if not report.findings:
        lines.append("  ✓ bodies, tree, checkpoints, keys and settlements agree")
    if report.anchored < report.size:
        lines.append(f"  – entries {report.anchored} to {report.size - 1} are not anchored yet")
    return lines
