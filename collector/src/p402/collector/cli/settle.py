"""``p402 settle``: set an access key up, see where settlement stands, settle now, compare with the chain."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from p402.collector.cli.remote import Remote, add_options, remote_of
from p402.collector.settings import Settings, SettingsInvalid, load_settings
from p402.collector.settlement.connect import connect, network_of, rules_of
from p402.collector.storage.settlement_events import in_usd
from p402.receipts.settlement import TempoNetwork
from p402.vocabulary import Money, Permanent, rfc3339

if TYPE_CHECKING:
    from p402.receipts.settlement.tempo import TempoSettler

__all__ = ["add_to"]

_MICRO = 1_000_000
_DAY = 86_400
_POLL_SECONDS = 0.5


class NotSettled(Permanent):
    """What was to be settled was not."""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("settle", help="set settlement up, see it, settle now, compare with the chain")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    setup = actions.add_parser(
        "setup-key",
        help="make an access key that may settle and do nothing else",
        description="Make an access key and let the account of a root key authorise it on the chain. The key may call "
        "transferWithMemo of the settlement's token, to the payees of the configuration and to the account itself; it may spend "
        "so much a day, and it ends. The root key is read once, from a file or the terminal, and stored nowhere. Run it again "
        "before the key ends, or when a payee is new: into another --key-file, then change the setting.",
        epilog="The network, token and payees are those of the settings (P402_SETTLEMENT_*, P402_CONFIG).",
    )
    setup.add_argument(
        "--root-key-file", type=Path, metavar="FILE", help="file with the account's key; default: ask for it"
    )
    setup.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help="where to write the access key (default: P402_SETTLEMENT_KEY_FILE)",
    )
    setup.add_argument("--payments", type=_usd, default=100 * _MICRO, metavar="USD", help="most to pay in a day (100)")
    setup.add_argument(
        "--fees", type=_usd, default=5 * _MICRO, metavar="USD", help="most that fees may take in a day (5)"
    )
    setup.add_argument("--days", type=_days, default=30, help="how long the key lasts (30)")
    setup.set_defaults(run=_setup_key)
    status = actions.add_parser("status", help="show payer, key, limits, balances, and what is not final")
    status.set_defaults(run=_status)
    flush = actions.add_parser("flush", help="settle an organisation now, and wait until that is final")
    flush.add_argument(
        "--wait", type=float, default=120.0, metavar="SECONDS", help="how long to wait (120; 0: not at all)"
    )
    flush.set_defaults(run=lambda parsed: _flush(remote_of(parsed), parsed.wait))
    reconcile = actions.add_parser(
        "reconcile", help="compare the chain with the ledger now; exit code 1 if they differ"
    )
    reconcile.set_defaults(run=lambda parsed: _reconcile(remote_of(parsed)))
    resolve = actions.add_parser("resolve", help="say what became of a payment in doubt")
    resolve.add_argument("settlement", help="the id that `p402 settle status` shows")
    resolve.add_argument(
        "outcome", choices=("paid", "not_paid"), help="paid: the payee has it; not_paid: it is due again"
    )
    resolve.add_argument("--reason", required=True, help="how you know; it is kept")
    resolve.set_defaults(run=lambda parsed: _resolve(remote_of(parsed), parsed))
    acknowledge = actions.add_parser("acknowledge", help="say that a difference between chain and ledger is understood")
    acknowledge.add_argument("difference", help="the id that `p402 settle reconcile` shows")
    acknowledge.add_argument("--reason", required=True, help="what it was; it is kept")
    acknowledge.set_defaults(run=lambda parsed: _acknowledge(remote_of(parsed), parsed))
    for action in (status, flush, reconcile, resolve, acknowledge):
        add_options(action)


def _setup_key(parsed: argparse.Namespace) -> int:
    settings = load_settings()
    file = parsed.key_file or settings.settlement_key_file
    if file is None:
        raise SettingsInvalid("Say where to write the access key: --key-file, or P402_SETTLEMENT_KEY_FILE.")
    if file.exists():
        raise SettingsInvalid(
            f"{file} exists, and is not overwritten: give another --key-file, then change the setting."
        )
    network = network_of(settings)
    root_key = _root_key(parsed.root_key_file)
    # Imported here: the chain's libraries take most of a second.
    from p402.receipts.settlement.access_key import Authorisation, authorise, new_key  # noqa: PLC0415
    from p402.receipts.settlement.tempo import address_of_key  # noqa: PLC0415

    payer, key = address_of_key(root_key), new_key()
    authorisation = Authorisation(
        payees=sorted(rules_of(settings).payees - {payer}),
        payments_micro_usd=parsed.payments,
        fees_micro_usd=parsed.fees,
        expires_at=int(time.time()) + parsed.days * _DAY,
    )
    _write_key(file, key)  # before it is authorised: a key that may pay is never lost
    try:
        tx_hash = asyncio.run(authorise(network, root_key, address_of_key(key), authorisation))
    except Permanent:
        file.unlink()  # refused: a key that may do nothing
        raise
    _say("Account", payer, network)
    _say("Access key", address_of_key(key), network)
    for payee in authorisation.payees:
        _say("May pay", payee, network)
    _say_field("Per day", f"{_dollars(parsed.payments)} of payments, {_dollars(parsed.fees)} of fees")
    _say_field("Until", rfc3339(datetime.fromtimestamp(authorisation.expires_at, UTC)))
    _say_field("Authorised by", network.explorer_tx_url(tx_hash) or tx_hash)
    _say_field("Key file", f"{file} (only you can read it)")
    print(
        f"\nNow set P402_SETTLEMENT_KEY_FILE={file} and P402_SETTLEMENT_PAYER={payer}, and start the collector again."
    )
    return 0


def _root_key(file: Path | None) -> str:
    if file is None:
        return getpass.getpass("Root key (0x and 64 hex digits; it is not stored): ").strip()
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"The root key {file} cannot be read: {error}.") from error


def _write_key(file: Path, key: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(key + "\n")
    except OSError as error:
        raise SettingsInvalid(f"The access key cannot be written to {file}: {error}.") from error


def _status(parsed: argparse.Namespace) -> int:
    settings = load_settings()
    if settings.settles and settings.settlement_key_file is not None:
        for name, value in asyncio.run(_on_chain(settings)):
            _say_field(name, value)
    else:
        _say_field("Settlement", "off here: P402_SETTLEMENT_MODE says how to settle")
    remote = remote_of(parsed)
    doubtful = remote.get("/v1/settlements", in_doubt="true", limit="100")["settlements"]
    newest = remote.get("/v1/settlements", limit="20")["settlements"]
    unconfirmed = remote.get("/v1/settlements", unconfirmed="true", limit="100")["settlements"]
    listed = newest + [settlement for settlement in (*doubtful, *unconfirmed) if settlement not in newest]
    checked = remote.get("/v1/settlements/reconciliation", limit="20")
    for settlement in listed:
        place = settlement["explorer_url"] or settlement["tx_hash"] or ""
        doubt = " (in doubt: say `p402 settle resolve`)" if settlement["in_doubt"] else ""
        what = " ".join((settlement["settlement_id"], settlement["mode"], f"${settlement['amount_usd']}", place))
        if settlement in unconfirmed:
            doubt = " (paid, and not confirmed by the payee)"
        _say_field(settlement["state"].capitalize(), what + doubt)
        if settlement["problem"]:
            _say_field("", settlement["problem"])
        if settlement in unconfirmed and settlement["mpp"]["refusal"]:
            _say_field("", settlement["mpp"]["refusal"])
    if checked["checked_at"]:
        _say_field("Reconciled", f"through block {checked['last_block']} at {checked['checked_at']}")
    _show_differences(checked)
    return int(bool(checked["discrepancies"] or doubtful or unconfirmed))


async def _on_chain(settings: Settings) -> list[tuple[str, str]]:
    from p402.receipts.settlement.access_key import access_key_status  # noqa: PLC0415 - as above

    settler = connect(settings)
    network = settler.network
    try:
        said = [("Node", f"{network.rpc_url} (chain {network.chain_id})"), ("Payer", _address(settler.payer, network))]
        said += [(f"Holds of {token}", _dollars(held)) for token, held in await _balances(settler)]
        status = await access_key_status(settler)
        if status is None or settler.access_key is None:
            said.append(
                ("Key", "the payer's own, which may do anything: `p402 settle setup-key` makes one that may not")
            )
            return said
        ends = "unknown to the account, or revoked: make one with `p402 settle setup-key`"
        if status.expires_at is not None:
            ends = f"ends {rfc3339(datetime.fromtimestamp(status.expires_at, UTC))}"
        said.append(("Access key", f"{_address(settler.access_key, network)} {ends}"))
        said += [(f"May spend of {token}", _dollars(left)) for token, (left, _) in status.remaining.items()]
        return said
    finally:
        await settler.close()


async def _balances(settler: TempoSettler) -> list[tuple[str, int]]:
    tokens = sorted({settler.network.token, settler.network.fees_in})
    return [(token, await settler.node.balance(token, settler.payer)) for token in tokens]


def _flush(remote: Remote, patience: float) -> int:
    asked = remote.ask("POST", "/v1/settlements/flush")
    print(f"{asked['organisation']} is settled in mode {asked['mode']} as soon as its log has something new.")
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        newest = next(iter(remote.get("/v1/settlements", limit="1")["settlements"]), None)
        if newest is not None and newest["planned_at"] >= asked["asked_at"] and newest["ended_at"]:
            if newest["state"] != "final":
                raise NotSettled(f"{newest['settlement_id']} failed. {newest['problem']}")
            place = newest["explorer_url"] or newest["tx_hash"]
            print(f"{newest['settlement_id']} is final: ${newest['amount_usd']}, fee ${newest['fee_usd']}, {place}")
            return 0
        time.sleep(_POLL_SECONDS)
    if patience > 0:
        raise NotSettled("Nothing was final in time: `p402 settle status` says what is under way.")
    return 0


def _reconcile(remote: Remote) -> int:
    checked = remote.ask("POST", "/v1/settlements/reconciliation")
    if checked["checked_at"] is None:
        print("Nothing was settled yet, so there is nothing to compare.")
    else:
        print(f"Chain {checked['chain_id']} and ledger were compared through block {checked['last_block']}.")
    _show_differences(checked)
    return int(bool(checked["discrepancies"]))


def _resolve(remote: Remote, parsed: argparse.Namespace) -> int:
    body = {"outcome": parsed.outcome, "reason": parsed.reason}
    resolved = remote.ask("POST", f"/v1/settlements/{quote(parsed.settlement, safe='')}/resolve", body)
    print(f"{resolved['settlement_id']} is no longer in doubt: {json.dumps(parsed.outcome)}")
    return 0


def _acknowledge(remote: Remote, parsed: argparse.Namespace) -> int:
    place = f"/v1/settlements/reconciliation/{quote(parsed.difference, safe='')}/acknowledge"
    left = remote.ask("POST", place, {"reason": parsed.reason})["discrepancies"]
    print(f"{parsed.difference} is acknowledged; {len(left)} left.")
    return 0


def _show_differences(checked: dict[str, Any]) -> None:
    for line in _differences(checked):
        print(line, file=sys.stderr)


def _differences(checked: dict[str, Any]) -> Iterator[str]:
    for found in checked["discrepancies"]:
        yield f"DIFFERENT {found['discrepancy_id']} {found['kind']}: {found['problem']}"


def _say(name: str, address: str, network: TempoNetwork) -> None:
    _say_field(name, _address(address, network))


def _say_field(name: str, value: str) -> None:
    print(f"{name:<14} {value}")


def _address(address: str, network: TempoNetwork) -> str:
    page = network.explorer_address_url(address)
    return f"{address} {page}" if page else address


def _dollars(micro_usd: int) -> str:
    return f"${in_usd(micro_usd)}"


def _usd(text: str) -> int:
    try:
        micro, rest = Money.parse(text).to_micro_usd()
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount of US dollars such as 12.50") from error
    if micro < 0 or rest != Money(0):
        raise argparse.ArgumentTypeError(f"{text!r} is negative, or has more than the six decimals of the token")
    return micro


def _days(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 366:  # noqa: PLR2004 - a key that is never renewed is no access key
        raise argparse.ArgumentTypeError("a key lasts 1 to 366 days")
    return int(text)
