"""Receipts as documents: archivable, accessible, the same every time, with the machine's copy inside."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p402.exporters.documents.pdf import (
    Hidden,
    Receipt,
    RelatedReceipt,
    ReviewStep,
    render_receipt,
)
from p402.receipts import Status, Trust, leaf_hash, parse_proof, verify
from p402.vocabulary import Attribution, Money, Usage
from support.pdf_reading import ReadPdf, read_pdf
from support.sample_log import (
    SAMPLE_ANCHOR,
    SampleLog,
    fixed_signer,
    sample_bundle,
    sample_charge,
    sample_log,
    sample_statement,
)

EXPLORER = f"https://explore.example.com/tx/{SAMPLE_ANCHOR.tx_hash}"
MARKUP = '#read("/etc/passwd") #eval("1+1") $x^2$ *b* _i_ `r` <l> @l \\u{41} // "q" [c] = h'


def bundle_of(log: SampleLog, index: int = 0, **options: Any) -> bytes:
    return json.dumps(sample_bundle(log, index, **options), indent=1).encode()


def sample(**options: Any) -> Receipt:
    """The third receipt of the sample log: a priced call and one without a known price."""
    return Receipt(bundle=bundle_of(sample_log(), 2), explorer_url=EXPLORER, **options)


def log_of(*charges: Any) -> SampleLog:
    log = SampleLog()
    log.add_receipt(*charges)
    return log


def read(receipt: Receipt) -> ReadPdf:
    return read_pdf(render_receipt(receipt))


def without_spaces(text: str) -> str:
    return "".join(text.split())


def test_it_can_be_archived_and_read_aloud() -> None:
    found = read(sample())
    pdfa, pdfua = "{http://www.aiim.org/pdfa/ns/id/}", "{http://www.aiim.org/pdfua/ns/id/}"
    assert (found.metadata[f"{pdfa}part"], found.metadata[f"{pdfa}conformance"]) == ("3", "B")
    assert found.metadata[f"{pdfua}part"] == "1"
    assert (found.intents, found.language, found.tagged) == (("/GTS_PDFA1",), "en-US", True)


def test_the_machines_copy_is_inside_byte_for_byte() -> None:
    receipt = sample()
    found = read(receipt)
    body = sample_log().entries[2].body
    assert found.files == {"bundle.json": receipt.bundle, "receipt-body.json": body}
    assert found.relationships == {"bundle.json": "/Data", "receipt-body.json": "/Source"}


def test_the_bundle_inside_satisfies_the_verifier() -> None:
    report = verify(read(sample()).files["bundle.json"], Trust((fixed_signer().verifier_key,)))
    assert {check.status for check in report.checks} == {Status.OK, Status.NOT_CHECKED}


def test_the_same_receipt_gives_the_same_bytes_in_any_thread_and_another_one_others() -> None:
    first = render_receipt(sample())
    with ThreadPoolExecutor(2) as threads:
        assert set(threads.map(lambda _: render_receipt(sample()), range(4))) == {first}
    assert render_receipt(sample(certified=True)) != first


def test_the_date_is_that_of_the_last_thing_that_it_tells_of() -> None:
    name = "{http://ns.adobe.com/xap/1.0/}CreateDate"
    assert read(sample()).metadata[name] == "2026-11-23T11:00:00+00:00"  # the block
    assert read(sample(reviews=[review()])).metadata[name] == "2026-11-24T08:00:00+00:00"


def test_it_says_who_when_what_and_how_much() -> None:
    text = read(sample()).text
    for said in (
        "Receipt rcpt_00000000000000000000000002",
        "Organisation acme Department engineering Project apollo Client globex Employee emp_7 Session sess_42",
        "First call began 2026-11-23 09:02:00.000 UTC Last call ended 2026-11-23 09:02:12.345 UTC",
        "Authenticated down to the department",
        "claude-opus-4-5-20251101 anthropic 1 2,847 10,000 0.264235",
        "my-finetune openai 1 2,847 10,000 –",
        "Total 1 5,694 20,000 0.264235",
        "Total cost 0.264235 USD 1 request without a known price not included",
        "Routing rationale complexity=7, dept_policy=quality-first",
        "1 reported by the provider, 1 counted locally",
        f"genai-prices/0.0.30 {'ab' * 32}",
        "Page 1 of 2",
    ):
        assert said in text


def test_it_holds_the_proof_and_the_anchor_for_reading_on_paper() -> None:
    log = sample_log()
    letters = read(sample()).letters
    proof = parse_proof(log.proof(2))
    for said in (
        leaf_hash(log.entries[2].body).hex(),
        log.entries[1].leaf_hash.hex(),
        log.checkpoint().root.hex(),
        fixed_signer().verifier_key.split("+")[1],
        *(hashed.hex() for hashed in proof.hashes),
        sample_statement(log).memo().hex(),
        SAMPLE_ANCHOR.tx_hash,
        SAMPLE_ANCHOR.block_hash,
        EXPLORER,
        "Anchoredinblock100ofchain31337,2026-11-2311:00:00UTC",
    ):
        assert said in letters


def test_one_that_is_not_anchored_says_so_and_proves_less() -> None:
    text = read(Receipt(bundle=bundle_of(sample_log(), anchored=False))).text
    assert "Status Not yet anchored" in text
    assert "the verifier reports “incomplete” until the receipt is anchored" in text
    assert "--rpc" not in text
    assert "Anchored in block" not in text


def review(**options: Any) -> ReviewStep:
    given = {
        "seq": 7,
        "at": "2026-11-24T08:00:00.000Z",
        "action": "rejected",
        "reviewer": "rev_3",
        "comment": "Too dear.",
        "self_review": False,
    }
    return ReviewStep(**{**given, **options})


def test_it_tells_of_reviews_and_of_other_receipts_of_the_session() -> None:
    other = RelatedReceipt(
        receipt_id="rcpt_9", seq=9, kind="corrects this receipt", issued_at="2026-11-24T09:00:00.000Z", cost_usd="1.5"
    )
    text = read(sample(reviews=[review(), review(seq=8, self_review=True)], related=[other])).text
    assert "2026-11-24 08:00:00.000 rejected rev_3 Too dear. 7" in text
    assert "by the session’s own employee" in text
    assert "rcpt_9 corrects this receipt 2026-11-24 09:00:00.000 UTC 9 1.50" in text


def test_what_is_not_disclosed_is_nowhere_in_the_file() -> None:
    value = sample_bundle(sample_log(), 0)
    value["receipts"][0]["disclosures"] = []
    made = render_receipt(Receipt(bundle=json.dumps(value).encode(), hidden={"employee": Hidden.ERASED}))
    found = read_pdf(made)
    assert "Employee erased" in found.text
    assert "Session withheld" in found.text
    for secret in (b"emp_7", b"sess_42"):
        assert secret not in made
        assert all(secret not in content for content in found.files.values())
        assert secret.decode() not in found.letters


def test_a_value_that_never_was_is_not_called_withheld() -> None:
    nobody = replace(sample_charge(), attribution=Attribution("acme", "engineering", session="s-1"))
    log = log_of(nobody)
    assert "Employee not recorded Session s-1" in read(Receipt(bundle=bundle_of(log))).text
    value = sample_bundle(log, 0)
    value["receipts"][0]["disclosures"] = []
    closed = read(Receipt(bundle=json.dumps(value).encode())).text
    assert "Employee withheld or not recorded Session withheld or not recorded" in closed


def test_markup_in_any_field_is_text_and_nothing_else() -> None:
    attribution = Attribution(MARKUP, MARKUP, MARKUP, MARKUP, MARKUP, MARKUP)
    charge = replace(
        sample_charge(),
        attribution=replace(attribution, organisation="acme"),
        rationale=MARKUP,
        provider=MARKUP,
        response_model=MARKUP,
    )
    step = review(reviewer=MARKUP, comment=MARKUP, action=MARKUP)
    other = RelatedReceipt(receipt_id=MARKUP, seq=1, kind=MARKUP, issued_at=step.at, cost_usd="0")
    bundle = bundle_of(log_of(charge))
    found = read(Receipt(bundle=bundle, reviews=[step], related=[other], explorer_url=f"https://x.example/{MARKUP}"))
    assert found.letters.count(without_spaces(MARKUP)) == 14
    assert "root:" not in found.text


def test_more_models_than_a_page_holds_repeat_the_heading_and_lose_none() -> None:
    charges = [
        replace(sample_charge(number), response_model=f"model-{number:02d}", cost=Money(number * 1_000_000_007))
        for number in range(40)
    ]
    found = read(Receipt(bundle=bundle_of(log_of(*charges))))
    assert sum("Requests" in page for page in found.pages) == 2
    for number in range(40):
        amount = f"{number * 1_000_000_007:010d}"
        assert f"model-{number:02d} anthropic 1 2,847 10,000 {amount[:-9]}.{amount[-9:]}" in found.text
    assert "Total 40 113,880 400,000 780.000005460" in found.text


LONG = Attribution("acme", "d" * 256, "#" * 256, "e-" * 128, "ж" * 256, "0123456789 " * 23)


@pytest.mark.parametrize(
    "charge",
    [
        replace(sample_charge(), attribution=LONG, response_model="m" * 256, provider="p" * 256, rationale="w" * 900),
        replace(
            sample_charge(),
            usage=Usage(
                input_tokens=10**15,
                output_tokens=10**15,
                cache_read_input_tokens=10**14,
                cache_write_input_tokens=10**14,
                reasoning_output_tokens=10**14,
            ),
            cost=Money(9_223_372_036_854_775_807),
        ),
    ],
    ids=["ids", "figures"],
)
def test_nothing_however_long_is_cut_or_runs_into_something_else(charge: Any) -> None:
    receipt = Receipt(bundle=bundle_of(log_of(charge)), reviews=[review(reviewer="r" * 256, comment="c" * 2000)])
    found = read(receipt)
    letters = re.sub(r"Receiptrcpt_0+Page\dof\d", "", found.letters)  # the footers
    named = [value for _, value in charge.attribution if value is not None]
    for text in (*named, charge.response_model, charge.provider, charge.rationale, f"{charge.usage.input_tokens:,}"):
        assert without_spaces(text) in letters
    whole, _, rest = str(charge.cost).partition(".")
    assert letters.count(f"{int(whole):,}.{rest}") == 3
    assert found.collisions() == []
    assert max(piece.right for page in found.pieces for piece in page) < 595.3 - 68 + 0.5  # A4, and its margin


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@settings(max_examples=30, deadline=None)
def test_any_text_can_be_set(text: str) -> None:
    assert read(sample(reviews=[review(comment=text, reviewer=text)])).pages


def test_characters_that_cannot_be_printed_are_written_out_and_explained() -> None:
    found = read(sample(reviews=[review(comment="ok 😀 \u202egpj.exe 法務 \u0301 café Ж ½ €")]))
    assert "ok [U+1F600] [U+202E]gpj.exe [U+6CD5][U+52D9] [U+0301] café Ж ½ €" in found.text
    assert "Characters that cannot be printed here are written out" in found.text
    assert "written out" not in read(sample()).text


def test_a_certification_is_a_page_of_its_own_and_only_where_asked_for() -> None:
    receipt = sample(certified=True)
    page = read(receipt).pages[-1]
    assert page.startswith("Certification of electronic records")
    assert "902(13)" in page
    assert "no legal advice" in page
    assert "902(13)" not in read(sample()).text
