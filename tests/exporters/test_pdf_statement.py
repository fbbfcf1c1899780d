"""Statements and evidence packs as documents."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from p402.exporters.documents.manifest import ManifestFile, ManifestInvalid, make_manifest
from p402.exporters.documents.pdf import EvidencePack, PeriodStatement, render_evidence, render_statement
from p402.exporters.documents.statement import MarkupRule, StatementBy, Usages, make_statement, statement_value
from p402.receipts import sign_checkpoint
from p402.vocabulary import Attribution, Money
from support.pdf_reading import ReadPdf, read_pdf
from support.sample_log import fixed_signer, sample_log

MADE = datetime(2026, 11, 6, 12, tzinfo=UTC)


def usage(department: str | None, client: str | None, cost: str, **changed: Any) -> Usages:
    given = {"project": "apollo", "provider": "anthropic", "model": "claude-opus-4-5", "adjusts": None, "charges": 2}
    values = {**given, "unpriced_charges": 0, "input_tokens": 2847, "output_tokens": 10_000, **changed}
    return Usages(department=department, client=client, cost=Money.parse(cost), **values)


USAGES = [
    usage("legal", "globex", "100.25"),
    usage("legal", "globex", "0.75", adjusts="2026-09", charges=1),
    usage("engineering", None, "2847.000000001", model="gpt-4o", provider="openai"),
    usage(None, None, "12", project=None, unpriced_charges=1),
]
MARKUP = (MarkupRule(client="globex", basis_points=1250),)


def period(by: StatementBy, usages: list[Usages] = USAGES, rules: tuple[MarkupRule, ...] = MARKUP) -> PeriodStatement:
    statement = make_statement(usages, rules, by, Attribution("acme"))
    return PeriodStatement(
        statement=statement,
        within=Attribution("acme"),
        period="2026-10",
        closed_at=datetime(2026, 11, 5, tzinfo=UTC),
        made_at=MADE,
        machine_copy=json.dumps(statement_value(statement)).encode(),
    )


def read(given: PeriodStatement) -> ReadPdf:
    return read_pdf(render_statement(given))


def test_a_statement_has_a_line_for_each_department_and_its_details() -> None:
    found = read(period(StatementBy.DEPARTMENT))
    for said in (
        "Chargeback statement by department acme",
        "Period 2026-10 calendar month, UTC State Closed 2026-11-05 00:00:00.000 UTC",
        "Cost of usage 2,960.000000001 USD of which 0.750000000 USD adjusts closed periods",
        "Mark-up 12.625000000 USD Total 2,972.625000001 USD 1 charge without a known price not included",
        "engineering 2 2,847 10,000 2,847.000000001 0.000 2,847.000000001",
        "legal 3 5,694 20,000 101.000000000 12.625 113.625000000",
        "not attributed 2 2,847 10,000 12.000000000 0.000 12.000000000",
        "Total 7 11,388 40,000 2,960.000000001 12.625 2,972.625000001",
        "Department: legal",
        "apollo globex claude-opus-4-5 anthropic; adjusts 2026-09 1 2,847 10,000 0.75 0.09375 0.84375",
        "No department 12.00 USD in 2 charges",
        "No client 2,859.000000001 USD in 4 charges",
    ):
        assert said in found.text
    assert found.collisions() == []


def test_an_invoice_divides_the_same_total_every_way_and_lists_adjustments() -> None:
    found = read(period(StatementBy.ORGANISATION))
    assert "Consolidated invoice of AI usage acme" in found.text
    for way in ("By department", "By client", "By project", "By model"):
        assert way in found.text
    assert found.text.count("Total 7 11,388 40,000 2,960.000000001 12.625 2,972.625000001") == 4
    assert "Adjustments of closed periods" in found.text
    assert "2026-09 1 0.75 Total 1 0.75" in found.text
    assert "openai/gpt-4o 2 2,847 10,000 2,847.000000001 0.000 2,847.000000001" in found.text


def test_without_mark_ups_there_are_no_columns_for_them() -> None:
    text = read(period(StatementBy.CLIENT, rules=())).text
    assert "Mark-up none Total 2,960.000000001 USD" in text
    assert "Output tokens Cost USD globex 3 5,694 20,000 101.000000000 not attributed" in text


def test_an_open_period_says_that_more_may_come() -> None:
    assert "Open: figures as of the date" in read(replace(period(StatementBy.CLIENT), closed_at=None)).text


def test_a_statement_holds_the_machines_copy_and_is_the_same_every_time() -> None:
    given = period(StatementBy.PROJECT)
    found = read(given)
    assert found.files == {"statement-2026-10.json": given.machine_copy}
    assert found.relationships == {"statement-2026-10.json": "/Data"}
    assert render_statement(given) == render_statement(period(StatementBy.PROJECT))


def test_more_details_than_anybody_reads_are_left_to_the_machines_copy() -> None:
    many = [usage(f"d-{number % 3}", None, "0.01", model=f"m-{number}") for number in range(2_001)]
    found = read(period(StatementBy.DEPARTMENT, many, rules=()))
    assert "This statement has 2,001 lines of detail; all of them are in the attached file." in found.text
    assert "m-77" not in found.text


def pack(**changed: Any) -> EvidencePack:
    names = ["receipts.csv", "bundle-0001.json", "bundle-0002.json", "audit.csv", "reviews.csv"]
    files = [
        ManifestFile(
            name=name,
            sha256=hashlib.sha256(name.encode()).hexdigest(),
            bytes=4096,
            rows=1000 + number,
            first_seq=3,
            last_seq=1400,
        )
        for number, name in enumerate(names)
    ]
    manifest = make_manifest(
        files,
        export_id="exp_1",
        kind="evidence",
        organisation="acme",
        request={"from": "2026-10-01T00:00:00.000Z", "to": None},
        counts={"receipts": 1000},
        checkpoint=sign_checkpoint(sample_log().checkpoint(), [fixed_signer()]),
        generated_at=MADE,
        version="0.1.0",
    )
    return EvidencePack(**{"manifest": manifest, **changed})


def test_an_evidence_pack_says_what_each_control_asks_and_which_records_there_are() -> None:
    found = read_pdf(render_evidence(pack()))
    for said in (
        "SOC 2, CC6.1: logical access",
        "SOC 2, CC7.2: monitoring for anomalies",
        "ISO/IEC 27001:2022, A.8.15: logging",
        "2026-10-01 00:00:00.000 UTC to the time of the export",
        "unchanged and at its place. 2,003",
        "by which rule, and what became of it. none",
        "1,000 records, 4,096 bytes, numbers 3 to 1400",
        sample_log().checkpoint().root.hex(),
        hashlib.sha256(b"receipts.csv").hexdigest(),
    ):
        assert said in found.text
    assert found.files == {"manifest.json": pack().manifest}
    assert found.collisions() == []


def test_evidence_supports_and_is_never_called_compliant() -> None:
    text = read_pdf(render_evidence(pack(certified=True))).text
    assert "support evidence for" in text
    assert "complian" not in text.lower()


def test_an_export_of_an_empty_log_has_a_cover_too() -> None:
    manifest = json.loads(pack().manifest)
    empty = json.dumps({**manifest, "files": [], "checkpoint": None}).encode()
    assert "The log had no entries" in read_pdf(render_evidence(pack(manifest=empty))).text


def test_what_is_no_manifest_is_refused() -> None:
    with pytest.raises(ManifestInvalid):
        render_evidence(pack(manifest=b"{}"))
