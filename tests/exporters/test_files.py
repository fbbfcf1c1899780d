"""Files that others open: CSV that a spreadsheet cannot be tricked by, NDJSON, and the manifest that vouches for them."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.exporters.documents.csv_lines import csv_line, csv_lines
from p402.exporters.documents.manifest import ManifestFile, ManifestInvalid, make_manifest, manifest_files
from p402.exporters.documents.ndjson import ndjson_lines
from p402.vocabulary import Money


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", '=HYPERLINK("http://x","y")'])
def test_text_that_a_spreadsheet_would_run_is_marked_as_text(text: str) -> None:
    [[cell]] = csv.reader(io.StringIO(csv_line([text]).decode(), newline=""))
    assert cell == f"'{text}"


@pytest.mark.parametrize("separator", [";", "\t"])
def test_text_is_marked_also_where_a_spreadsheet_of_another_country_begins_a_cell(separator: str) -> None:
    line = csv_line(["e-1", f'a, b{separator}=HYPERLINK("http://x")', f"{separator}x"]).decode()
    assert not any(cell.startswith("=") for cell in line.split(separator))


def test_numbers_are_numbers_with_a_point_and_without_an_exponent() -> None:
    line = csv_line([Money(-1), Money(264_235_000), Decimal("5E-9"), Decimal("1E+3"), Decimal("2.0"), 0, None])
    assert line == b"-0.000000001,0.264235,0.000000005,1000,2.0,0,\r\n"


def test_times_are_utc() -> None:
    assert csv_line([datetime(2026, 5, 15, 9, tzinfo=UTC)]) == b"2026-05-15T09:00:00.000Z\r\n"


some_text = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("=+-@;\t\r\n', \"a"))


@given(st.lists(st.lists(some_text, min_size=2, max_size=4), max_size=5))
def test_any_text_comes_back_from_a_csv_reader_but_for_marks(rows: list[list[str]]) -> None:
    def unmarked(table: list[list[str]]) -> list[list[str]]:
        return [[re.sub(r"(^|[;\t])'(?=[=+\-@\t\r\n])", r"\1", cell) for cell in row] for row in table]

    read = list(csv.reader(io.StringIO(csv_lines(rows).decode(), newline="")))
    assert unmarked(read) == unmarked(rows)


def test_a_line_is_a_value() -> None:
    lines = ndjson_lines([{"text": "two\nlines\u2028"}, {"n": 1}])
    assert [json.loads(line) for line in lines.decode().removesuffix("\n").split("\n")] == [
        {"text": "two\nlines\u2028"},
        {"n": 1},
    ]


FILE = ManifestFile(name="charges.csv", sha256="0" * 64, bytes=10, rows=1, first_seq=7, last_seq=7)


def manifest(*files: ManifestFile) -> bytes:
    return make_manifest(
        files,
        export_id="exp_1",
        kind="charges-csv",
        organisation="acme",
        request={"from": None},
        counts={"charges": 1},
        checkpoint="p402.local/org/acme\n",
        generated_at=datetime(2026, 5, 15, 9, tzinfo=UTC),
        version="0.1.0",
    )


def test_a_manifest_names_its_files() -> None:
    assert manifest_files(manifest(FILE)) == [FILE]
    assert json.loads(manifest(FILE))["checkpoint"] == "p402.local/org/acme\n"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "..\\x", "", ".", ".."])
def test_a_manifest_cannot_name_a_file_elsewhere(name: str) -> None:
    bad = manifest(FILE).replace(b'"charges.csv"', json.dumps(name).encode())
    with pytest.raises(ManifestInvalid, match="outside its folder"):
        manifest_files(bad)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"format": "p402-export/2"}', b'{"format": "p402-export/1"}'])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(ManifestInvalid):
        manifest_files(data)
