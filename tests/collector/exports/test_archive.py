"""An archive that grew by parts is one that other programs open, whatever interrupted its making."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.collector.exports import archive
from p402.collector.exports.archive import ArchiveDamaged, archive_directory, archived
from p402.collector.exports.folder import ExportFolder

FILES = st.lists(st.tuples(st.text("abcé/ ", min_size=1, max_size=9), st.binary(max_size=300)), max_size=9)


def whole(parts: bytes) -> io.BytesIO:
    return io.BytesIO(parts + archive_directory(io.BytesIO(parts), len(parts)))


@given(FILES)
def test_the_standard_library_reads_every_file_back(files: list[tuple[str, bytes]]) -> None:
    parts = b"".join(archived(f"{number}-{name}", data) for number, (name, data) in enumerate(files))
    with zipfile.ZipFile(whole(parts)) as opened:
        assert opened.testzip() is None
        assert opened.namelist() == [f"{number}-{name}" for number, (name, _) in enumerate(files)]
        assert [opened.read(name) for name in opened.namelist()] == [data for _, data in files]


def test_more_files_than_a_small_directory_can_count_are_all_there() -> None:
    parts = b"".join(archived(f"{number}", b"") for number in range(70_000))
    with zipfile.ZipFile(whole(parts)) as opened:
        assert len(opened.namelist()) == 70_000


def test_files_beyond_four_gibibytes_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_MOST_32", 500)  # where the wide directory begins
    parts = b"".join(archived(f"{number}", bytes(100)) for number in range(9))
    with zipfile.ZipFile(whole(parts)) as opened:
        assert [opened.read(name) for name in opened.namelist()] == [bytes(100)] * 9


def test_an_archive_can_be_closed_again_after_a_crash_and_is_the_same(tmp_path: Path) -> None:
    folder, parts = ExportFolder(tmp_path), archived("a.pdf", b"one") + archived("b.pdf", b"two")
    folder.append("exp_1", {"receipts.zip": parts}, {})
    folder.close_archive("exp_1", "receipts.zip", len(parts))
    closed = folder.file("exp_1", "receipts.zip").read_bytes()
    folder.close_archive("exp_1", "receipts.zip", len(parts))
    assert folder.file("exp_1", "receipts.zip").read_bytes() == closed


@pytest.mark.parametrize("damage", [b"", b"PK", archived("a", b"one")[:-1], archived("a", b"one") + b"x"])
def test_what_is_no_file_of_an_archive_is_refused(damage: bytes) -> None:
    with pytest.raises(ArchiveDamaged):
        archive_directory(io.BytesIO(damage), max(len(damage), 1))
