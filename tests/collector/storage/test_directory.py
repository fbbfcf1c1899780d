"""The directory in the database: imported whole or not at all, names sealed, and nobody comes back who was erased."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import Connection

from p402.collector.directory.entries import DocumentUnusable
from p402.collector.privacy.vault_keys import VaultKeys, VaultKeyUnusable
from p402.collector.storage.directory_list import department_rows, listed_nodes
from p402.collector.storage.directory_names import opened_names, rows_of
from p402.collector.storage.directory_plan import Difference
from p402.collector.storage.vault import Vault
from p402.vocabulary import Attribution
from support.directory import import_csv, listed, people_csv
from support.personal import PersonalBooks, call, files_with, personal, tables_with

__all__ = ["personal"]

ADA, BOB = "e-1,Ada Lovelace,legal", "e-2,Bob Bernoulli,sales"


async def test_an_import_counts_what_it_did_and_once_more_changes_nothing(personal: PersonalBooks) -> None:
    books = personal.books
    found = await import_csv(books, people_csv(ADA, BOB, "e-3,,"))
    assert (found.people, found.departments, found.made) == (
        Difference(added=3),
        Difference(added=2),
        ["legal", "sales"],
    )
    before = books.value("SELECT COUNT(*) FROM audit"), books.rows("SELECT * FROM people ORDER BY id")
    again = await import_csv(books, people_csv(ADA, BOB, "e-3,,"))
    assert (again.people, again.departments, again.any) == (Difference(unchanged=3), Difference(unchanged=2), False)
    assert before == (books.value("SELECT COUNT(*) FROM audit"), books.rows("SELECT * FROM people ORDER BY id"))


async def test_what_changes_is_changed_and_who_is_not_named_goes_only_when_asked(personal: PersonalBooks) -> None:
    books = personal.books
    await import_csv(books, people_csv(ADA, BOB, "e-3,Cyd,sales"))
    changed = await import_csv(books, people_csv("e-1,Ada King,legal", "e-2,Bob Bernoulli,legal", "e-9,Eve,legal"))
    assert changed.people == Difference(added=1, changed=2)
    assert await listed(books) == {
        "e-1": ("Ada King", "legal"),
        "e-2": ("Bob Bernoulli", "legal"),
        "e-3": ("Cyd", "sales"),
        "e-9": ("Eve", "legal"),
    }
    pruned = await import_csv(books, people_csv("e-1,,legal"), prune=True)
    assert pruned.people == Difference(changed=1, removed=3)
    assert await listed(books) == {"e-1": (None, "legal")}
    assert books.value("SELECT COUNT(*) FROM subjects") == 0


async def test_departments_have_names_and_go_when_nobody_is_left_in_them(personal: PersonalBooks) -> None:
    books = personal.books
    await import_csv(books, people_csv(ADA))
    named = await import_csv(books, "department,display_name\nlegal,Legal & Compliance\nops,Operations\n")
    assert named.departments == Difference(added=1, changed=1)
    await import_csv(books, people_csv("e-2,Bob,Legal & Compliance"))
    assert (await listed(books))["e-2"] == ("Bob", "legal")
    pruned = await import_csv(books, "department,display_name\nhr,People\n", prune=True)
    assert pruned.departments == Difference(added=1, removed=1, kept=1)
    assert [one for (one,) in books.rows("SELECT department FROM departments ORDER BY department")] == ["hr", "legal"]


async def test_nothing_is_imported_of_a_document_that_means_no_department(personal: PersonalBooks) -> None:
    books = personal.books
    await import_csv(books, "department,display_name\na,Legal\nb,Legal\n")
    with pytest.raises(DocumentUnusable, match="line 3, department: is what several departments are called"):
        await import_csv(books, people_csv("e-1,Ada,a", "e-2,Bob,Legal"))
    assert await listed(books) == {}


@pytest.mark.parametrize("text", [people_csv(), "department,display_name\n"])
async def test_an_empty_document_prunes_nobody(personal: PersonalBooks, text: str) -> None:
    await import_csv(personal.books, people_csv(ADA))
    with pytest.raises(DocumentUnusable, match="would remove everybody"):
        await import_csv(personal.books, text, prune=True)
    assert "e-1" in await listed(personal.books)


async def test_organisations_have_directories_of_their_own(personal: PersonalBooks) -> None:
    await import_csv(personal.books, people_csv(ADA))
    await import_csv(personal.books, people_csv("e-1,Igor,ops"), organisation="initech", prune=True)
    assert await listed(personal.books) == {"e-1": ("Ada Lovelace", "legal")}
    assert await listed(personal.books, "initech") == {"e-1": ("Igor", "ops")}


async def test_names_are_in_no_table_and_no_file_and_without_the_key_file_nobody_reads_them(
    personal: PersonalBooks, tmp_path: Path
) -> None:
    books = personal.books
    await import_csv(books, people_csv(ADA))
    assert tables_with(books.kept, ["Ada", "Lovelace"]) == {}
    assert files_with(tmp_path, ["Ada Lovelace"]) == {}
    other = VaultKeys(tmp_path / "other.key")
    other.make_if_missing()
    rows = await books.database.read(lambda connection: rows_of(connection, "acme"))
    with pytest.raises(VaultKeyUnusable):
        opened_names(Vault(other), rows)


async def test_a_name_is_readable_after_the_wrapping_key_was_changed(personal: PersonalBooks) -> None:
    books = personal.books
    await import_csv(books, people_csv(ADA))
    books.vault.keys.add_wrapping_key()
    await books.database.write(lambda connection: books.vault.wrap_again(connection, 0, 100))
    assert books.vault.keys.forget_old_wrapping_keys() == 1
    assert await listed(books) == {"e-1": ("Ada Lovelace", "legal")}


async def test_the_audit_trail_has_numbers_and_no_names(personal: PersonalBooks) -> None:
    await import_csv(personal.books, people_csv(ADA, BOB))
    [(action, actor, detail)] = personal.books.rows("SELECT action, actor, detail FROM audit")
    assert (action, actor) == ("directory.imported", "key_1")
    assert json.loads(detail) == {
        "departments": {"added": 2, "changed": 0, "removed": 0},
        "people": {"added": 2, "changed": 0, "removed": 0},
    }


async def test_lists_are_in_the_order_of_code_points_on_every_database(personal: PersonalBooks) -> None:
    books = personal.books
    await import_csv(books, people_csv("a,,Z", "B,,Ä", "ä,,m", "e_1,,", "E-1,,a"))

    def read(connection: Connection) -> tuple[list[str], list[str], list[str]]:
        departments = [row.department for row in department_rows(connection, "acme", Attribution(), "Z", 10)]
        employees = listed_nodes(connection, "acme", None, "employee", "", 3)
        return departments, employees, [row.employee for row in rows_of(connection, "acme", None, "E-1", 2)]

    assert await books.database.read(read) == (["a", "m", "Ä"], ["B", "E-1", "a"], ["a", "e_1"])


# --- erasure


async def test_erasing_a_person_takes_them_out_of_the_directory_and_an_import_does_not_bring_them_back(
    personal: PersonalBooks,
) -> None:
    books = personal.books
    await import_csv(books, people_csv("ada.lovelace,Ada Lovelace,legal", BOB))
    await personal.sealed(call("ada.lovelace", "a.1"))
    await personal.erase("ada.lovelace")
    assert tables_with(books.kept, ["ada.lovelace"]) == {}
    assert books.value("SELECT COUNT(*) FROM subjects") == 2  # Bob's, and that of who asked for the erasure
    again = await import_csv(books, people_csv("ada.lovelace,Ada Lovelace,legal", BOB))
    assert (again.erased, again.people) == (1, Difference(unchanged=1))
    assert tables_with(books.kept, ["ada.lovelace"]) == {}
    assert await listed(books) == {"e-2": ("Bob Bernoulli", "sales")}


async def test_somebody_who_is_only_in_the_directory_is_erased_too(personal: PersonalBooks) -> None:
    await import_csv(personal.books, people_csv("ada.lovelace,Ada,legal"))
    await personal.erase("ada.lovelace")
    assert await listed(personal.books) == {}
    assert tables_with(personal.books.kept, ["ada.lovelace"]) == {}


async def test_a_backup_that_is_put_back_loses_who_was_erased_from_the_directory(personal: PersonalBooks) -> None:
    books, now = personal.books, personal.books.clock.now()
    await import_csv(books, people_csv(ADA, BOB))
    await personal.erase("e-1")

    def as_before(connection: Connection) -> None:
        for table in ("suppressions", "erasures"):
            connection.exec_driver_sql(f"DELETE FROM {table}")

    await books.database.write(as_before)
    await import_csv(books, people_csv(ADA))
    assert set(await listed(books)) == {"e-1", "e-2"}
    assert await books.database.write(lambda connection: personal.changes.replay(connection, now)) == 1
    assert set(await listed(books)) == {"e-2"}


async def test_a_key_stays_while_a_disclosure_needs_it(personal: PersonalBooks) -> None:
    books = personal.books
    await import_csv(books, people_csv(ADA))
    await personal.sealed(call("e-1", "a.1"))
    assert books.value("SELECT COUNT(*) FROM subjects") == 1
    await import_csv(books, people_csv(BOB), prune=True)
    assert books.value("SELECT COUNT(*) FROM vault") > 0
    assert books.value("SELECT COUNT(*) FROM subjects") == 2


async def test_whom_a_legal_hold_keeps_is_neither_erased_nor_pruned(personal: PersonalBooks) -> None:
    books = personal.books
    await import_csv(books, people_csv(ADA, BOB))
    hold = await personal.hold(employee="e-1")
    pruned = await import_csv(books, people_csv("e-3,Cyd,ops"), prune=True)
    assert pruned.people == Difference(added=1, removed=1, kept=1)
    assert (await listed(books))["e-1"] == ("Ada Lovelace", "legal")
    await personal.release(hold)
    assert (await import_csv(books, people_csv("e-3,Cyd,ops"), prune=True)).people.removed == 1


async def test_of_whom_only_sessions_are_held_the_directory_forgets(personal: PersonalBooks) -> None:
    books = personal.books
    await import_csv(books, people_csv(ADA))
    await personal.sealed(call("e-1", "a.1", project="p-1"), call("e-1", "a.2", project="p-2"))
    hold = await personal.hold(project="p-1")
    await personal.erase("e-1")
    assert await listed(books) == {}
    await personal.release(hold)
    assert tables_with(books.kept, ["e-1"]) == {}
