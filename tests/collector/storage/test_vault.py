"""The vault: what the database alone gives away of personal data, which is nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from p402.collector.privacy.vault_keys import VaultKeys, VaultKeyUnusable
from p402.collector.storage.vault import Kept, Vault, digest_of, person, subject_of_session
from p402.receipts import commit
from support.otlp import ASpan
from support.personal import PersonalBooks, personal_books


@pytest.fixture
async def personal(tmp_path: Path) -> AsyncIterator[PersonalBooks]:
    async with personal_books(tmp_path) as books:
        yield books


def call(employee: str | None, session: str | None) -> ASpan:
    return ASpan.of({"p402.employee": employee, "p402.session": session})


async def opened(personal: PersonalBooks, fields: frozenset[str] | None = None) -> dict[int, tuple[str, ...]]:
    seqs = list(range(len(personal.books.entries())))
    return await personal.books.database.read(
        lambda connection: personal.books.vault.open(connection, "acme", seqs, fields)
    )


async def test_disclosures_are_encrypted_and_open_the_receipts_commitments(personal: PersonalBooks) -> None:
    await personal.sealed(call("e-1042", "review-7"))
    [entry] = personal.books.entries()
    found = (await opened(personal))[0]
    assert sorted(digest_of(disclosure) for disclosure in found) == entry["_sd"]
    stored = b"".join(bytes(sealed) for (sealed,) in personal.books.rows("SELECT sealed FROM vault"))
    assert not any(disclosure.encode() in stored for disclosure in found)
    assert personal.books.value("SELECT COUNT(*) FROM disclosures") == 0


async def test_fields_are_disclosed_one_by_one(personal: PersonalBooks) -> None:
    await personal.sealed(call("e-1042", "review-7"))
    [disclosure] = (await opened(personal, frozenset({"employee"})))[0]
    assert digest_of(disclosure) in personal.books.entries()[0]["_sd"]
    assert (await opened(personal, frozenset({"reviewer"}))) == {}


async def test_a_person_has_one_key_for_all_their_sessions_and_a_session_of_nobody_has_its_own(
    personal: PersonalBooks,
) -> None:
    await personal.sealed(call("ada", "a"), call("ada", "b"), call("bob", "c"), call(None, "d"), call(None, "e"))
    assert personal.books.value("SELECT COUNT(*) FROM subjects") == 4


async def test_one_organisations_people_have_other_keys_than_anothers(personal: PersonalBooks) -> None:
    await personal.sealed(call("ada", "a"), ASpan.of({"p402.organisation": "initech", "p402.employee": "ada"}))
    assert personal.books.value("SELECT COUNT(*) FROM subjects") == 2


async def test_without_its_key_file_a_vault_opens_nothing(personal: PersonalBooks, tmp_path: Path) -> None:
    await personal.sealed(call("e-1042", "review-7"))
    other = VaultKeys(tmp_path / "other.key")
    other.make_if_missing()
    with pytest.raises(VaultKeyUnusable, match="P402_VAULT_KEY_FILE"):
        await personal.books.database.read(lambda connection: Vault(other).open(connection, "acme", [0]))


async def test_a_disclosure_that_is_moved_to_another_organisation_does_not_open(personal: PersonalBooks) -> None:
    await personal.sealed(call("e-1042", "review-7"))
    personal.books.kept.run("UPDATE vault SET organisation = 'initech'")
    with pytest.raises(VaultKeyUnusable, match="changed"):
        await personal.books.database.read(lambda connection: personal.books.vault.open(connection, "initech", [0]))


async def test_what_earlier_versions_kept_in_the_open_is_encrypted_once(personal: PersonalBooks) -> None:
    await personal.sealed(call("e-1042", "review-7"), call(None, "nobodys"))
    before = await opened(personal)
    receipts = dict(personal.books.rows("SELECT seq, id FROM receipts"))
    plain = [
        f"INSERT INTO disclosures (receipt_id, disclosure) VALUES ('{receipts[seq]}', '{disclosure}')"
        for seq, disclosures in before.items()
        for disclosure in disclosures
    ]
    personal.books.kept.run("DELETE FROM vault", "DELETE FROM subjects", *plain)
    moved = []
    while True:
        moved.append(
            await personal.books.database.write(lambda connection: personal.books.vault.move_plaintext(connection, 2))
        )
        if not moved[-1]:
            break
    assert moved == [2, 1, 0]
    assert await opened(personal) == before
    assert personal.books.value("SELECT COUNT(*) FROM disclosures") == 0
    assert personal.books.value("SELECT COUNT(*) FROM subjects") == 2


async def test_a_rotated_key_opens_all_that_was_there_and_the_old_one_can_be_forgotten(
    personal: PersonalBooks, tmp_path: Path
) -> None:
    await personal.sealed(*(call(f"e-{number}", f"s-{number}") for number in range(5)))
    before = await opened(personal)
    elsewhere = VaultKeys(tmp_path / "vault.key")  # as another process has it
    elsewhere.add_wrapping_key()
    counts, after = [], 0
    while True:
        at = after
        after, count = await personal.books.database.write(
            lambda connection, at=at: personal.books.vault.wrap_again(connection, at, 2)  # type: ignore[misc]
        )
        if not after:
            break
        counts.append(count)
    assert counts == [2, 2, 1]
    assert elsewhere.forget_old_wrapping_keys() == 1
    assert await opened(personal) == before
    await personal.sealed(call("e-9", "s-9"))
    assert len(await opened(personal)) == 6


async def test_rows_of_the_access_log_are_opened_by_their_digests(personal: PersonalBooks) -> None:
    commitment = commit("reader", "ada")
    vault, database = personal.books.vault, personal.books.database
    [digest] = await database.write(
        lambda connection: vault.keep(connection, "acme", None, [Kept(commitment.disclosure, person("ada"))])
    )
    assert digest == commitment.digest
    names = await database.read(lambda connection: vault.names_of(connection, "acme", [digest, "unknown"]))
    assert names == {digest: "ada"}


def test_a_session_of_a_known_employee_is_about_the_employee() -> None:
    assert subject_of_session("ada", "s") == person("ada")
    assert subject_of_session(None, "s") != person("s")
