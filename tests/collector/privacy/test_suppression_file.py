"""The list of erased names beside the database: only added to, whole after a crash, told when damaged."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from p402.collector.privacy.suppression_file import SuppressedName, SuppressionFile, SuppressionFileUnusable


def a_name(number: int) -> SuppressedName:
    return SuppressedName(
        organisation="acme",
        kind="person",
        place=bytes([number]) * 32,
        pseudonym=f"erased-{number}",
        erasure_id="era_1",
        legal_basis="GDPR Art. 17",
        at=number,
    )


def test_what_was_added_is_read_in_its_order(tmp_path: Path) -> None:
    SuppressionFile(tmp_path / "erasures").add([a_name(1), a_name(2)])
    SuppressionFile(tmp_path / "erasures").add([a_name(3)])
    assert SuppressionFile(tmp_path / "erasures").read() == [a_name(1), a_name(2), a_name(3)]
    assert stat.S_IMODE((tmp_path / "erasures" / "suppressed.jsonl").stat().st_mode) == 0o600


def test_a_place_has_one_line_whoever_adds_it(tmp_path: Path) -> None:
    SuppressionFile(tmp_path).add([a_name(2), a_name(1), a_name(2)])
    SuppressionFile(tmp_path).add([a_name(1), a_name(3)])
    SuppressionFile(tmp_path).add([a_name(3)])
    assert SuppressionFile(tmp_path).read() == [a_name(2), a_name(1), a_name(3)]


def test_without_a_list_nothing_is_suppressed(tmp_path: Path) -> None:
    assert SuppressionFile(tmp_path / "erasures").read() == []
    SuppressionFile(tmp_path / "erasures").add([])
    assert not (tmp_path / "erasures").exists()


def test_a_line_that_a_crash_cut_short_counts_for_nothing_and_is_written_over(tmp_path: Path) -> None:
    list_ = SuppressionFile(tmp_path)
    list_.add([a_name(1)])
    file = tmp_path / "suppressed.jsonl"
    file.write_text(file.read_text() + '{"organisation": "ac')
    assert list_.read() == [a_name(1)]
    list_.add([a_name(2)])
    assert list_.read() == [a_name(1), a_name(2)]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    list_ = SuppressionFile(tmp_path)
    list_.add([a_name(1)])
    file = tmp_path / "suppressed.jsonl"
    file.write_text(file.read_text() + '{"organisation": 3}\n')
    with pytest.raises(SuppressionFileUnusable, match="Line 2 "):
        list_.read()


def test_collectors_of_one_folder_do_not_write_into_each_others_lines(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: SuppressionFile(tmp_path).add(map(a_name, range(number, number + 5))), range(20)))
    assert sorted(name.at for name in SuppressionFile(tmp_path).read()) == list(range(24))


def test_a_list_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "erasures").write_text("a file in the way")
    with pytest.raises(SuppressionFileUnusable, match="cannot be"):
        SuppressionFile(tmp_path / "erasures").add([a_name(1)])
