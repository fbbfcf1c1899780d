"""``p402 vault``: change the key of the vault, and overwrite what was deleted; on the machine that has the files."""

from __future__ import annotations

import argparse
import asyncio
from functools import partial

from sqlalchemy import Connection

from p402.collector.cli.database import existing_backend, opened
from p402.collector.privacy.vault_keys import VaultKeys
from p402.collector.settings import load_settings
from p402.collector.storage.vault import Vault
from p402.vocabulary import Transient

__all__ = ["add_to"]

_AT_ONCE = 1_000


class NotScrubbed(Transient):
    """Somebody else had the database locked."""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "vault", help="change the key that personal data is encrypted with; overwrite what was deleted"
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    rotate = actions.add_parser(
        "rotate",
        help="make a new wrapping key, and encrypt all data keys anew",
        description="Make a new wrapping key, encrypt all data keys with it, and forget the old one. Collectors that use this "
        "file notice. For those with a copy of the file: --keep-old, copy the file to them, then --finish.",
    )
    rotate.add_argument("--keep-old", action="store_true", help="leave the old key in the file for now")
    rotate.add_argument("--finish", action="store_true", help="make no new key: encrypt anew and forget old keys")
    rotate.set_defaults(run=lambda parsed: _rotate(keep_old=parsed.keep_old, finish=parsed.finish))
    scrub = actions.add_parser("scrub", help="overwrite what was deleted from the database; writers wait meanwhile")
    scrub.set_defaults(run=lambda _: _scrub())


def _rotate(*, keep_old: bool, finish: bool) -> int:
    settings = load_settings()
    keys = VaultKeys(settings.vault_file)

    async def run() -> int:
        async with opened(settings) as database:
            keys.make_if_missing()
            if not finish:
                keys.add_wrapping_key()  # from here on every collector of this file encrypts new data keys with it
            vault = Vault(keys)
            after, count = 0, 0
            while True:
                after, some = await database.write(partial(_wrap_again, vault, after))
                if not after:
                    return count
                count += some

    count = asyncio.run(run())
    forgotten = 0 if keep_old else keys.forget_old_wrapping_keys()
    print(f"{count} data keys are encrypted with the new wrapping key; {forgotten} old ones are forgotten.")
    return 0


def _wrap_again(vault: Vault, after: int, connection: Connection) -> tuple[int, int]:
    return vault.wrap_again(connection, after, _AT_ONCE)


def _scrub() -> int:
    backend = existing_backend(load_settings())
    if not backend.scrub(whole=True):
        raise NotScrubbed(f"{backend.place} is in use and could not be locked; try again when there is less to do.")
    print(f"{backend.place}: what was deleted is overwritten, as far as this kind of database does that.")
    return 0
