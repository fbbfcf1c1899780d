"""Files that consoles and APIs of providers give: JSON, JSON lines or CSV, as rows of named values (pure)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from p402.collector.reconciliation.lines import ExportUnreadable

__all__ = ["Row", "Rows", "read_rows"]

Row = Mapping[str, Any]
_MOST_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a file, each with the words that say where it is."""

    is_csv: bool
    rows: tuple[tuple[str, Row], ...]
    unfinished: bool = False
    """The last page says that there are more."""

    @property
    def names(self) -> frozenset[str]:
        """The names of the first row's values."""
        return frozenset(self.rows[0][1]) if self.rows else frozenset()


def read_rows(data: bytes) -> Rows:
    """Read a file into rows.

    A row of a JSON page is one result of one bucket, with the times of its bucket.

    Raises:
        ExportUnreadable: if it is neither JSON nor CSV with a header, or has no rows.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExportUnreadable(f"The file is not UTF-8 text: byte {error.start} cannot be read.") from error
    if not text.strip():
        raise ExportUnreadable("The file is empty.")
    rows = _json_rows(text) if text.lstrip()[0] in "[{" else _csv_rows(text)
    if not rows.rows:
        raise ExportUnreadable("The file has no rows: was anything used in the period that it is about?")
    return rows


def _csv_rows(text: str) -> Rows:
    try:
        reader = csv.DictReader(io.StringIO(text), strict=True)
        names = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = names
        if len(names) < 2 or len(set(names)) != len(names):  # noqa: PLR2004 - one name is a line of text
            raise ExportUnreadable("The file is neither JSON nor a CSV whose first line names its columns.")
        rows: list[tuple[str, Row]] = []
        for row in reader:
            if None in row or None in row.values():
                raise ExportUnreadable(f"Line {reader.line_num} does not have the {len(names)} columns of the header.")
            rows.append((f"line {reader.line_num}", row))
            _bound(rows)
    except csv.Error as error:
        raise ExportUnreadable(f"The file cannot be read as CSV: {error}.") from error
    return Rows(is_csv=True, rows=tuple(rows))


def _json_rows(text: str) -> Rows:
    rows: list[tuple[str, Row]] = []
    unfinished = False
    try:
        for document in _documents(text):
            pages = document if isinstance(document, list) else [document]
            for page in pages:
                if not isinstance(page, dict):
                    raise ExportUnreadable("The JSON holds something else than pages or rows, which are objects.")
                unfinished = bool(page.get("has_more"))
                rows += _results(page, len(rows))
                _bound(rows)
    except ValueError as error:
        raise ExportUnreadable(f"The file cannot be read as JSON: {error}.") from error
    except RecursionError as error:
        raise ExportUnreadable("The JSON is nested too deeply.") from error
    return Rows(is_csv=False, rows=tuple(rows), unfinished=unfinished)


def _documents(text: str) -> Iterator[Any]:
    """Give one JSON document, or those of JSON lines."""
    try:
        yield json.loads(text, parse_float=Decimal)
    except json.JSONDecodeError as error:
        lines = text.splitlines()
        if error.msg != "Extra data" or len(lines) == 1:
            raise
        for line in filter(str.strip, lines):
            yield json.loads(line, parse_float=Decimal)


def _results(page: Row, before: int) -> Iterator[tuple[str, Row]]:
    buckets = page.get("data")
    if not isinstance(buckets, list):
        yield f"row {before + 1}", page
        return
    for number, bucket in enumerate(buckets, 1):
        results = bucket.get("results") if isinstance(bucket, dict) else None
        if not isinstance(results, list):
            raise ExportUnreadable(f"Bucket {number} has no results; a page of a usage or costs API has.")
        times = {name: value for name, value in bucket.items() if name not in ("results", "object")}
        for place, result in enumerate(results, 1):
            if not isinstance(result, dict):
                raise ExportUnreadable(f"Result {place} of bucket {number} is no object.")
            yield f"bucket {number}, result {place}", {**times, **result}


def _bound(rows: list[tuple[str, Row]]) -> None:
    if len(rows) > _MOST_ROWS:
        raise ExportUnreadable(f"The file has more than {_MOST_ROWS:,} rows; split it by day.")
