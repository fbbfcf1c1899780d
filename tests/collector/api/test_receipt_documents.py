"""Receipts as documents over HTTP."""

from __future__ import annotations

import asyncio
import threading

import pytest

from p402.collector.api.typesetting import TooManyDocuments, Typesetter
from support.otlp import ASpan
from support.pdf_reading import read_pdf
from support.server import Server


async def sealed(server: Server, organisation: str = "acme", key: str | None = None) -> str:
    """A receipt of the session review-7; its id."""
    if key is None:
        await server.send(ASpan())
        server.clock.advance(minutes=1)
        await server.seal()
    listed = (await server.get(f"/v1/receipts?organisation={organisation}", key)).json["receipts"]
    return str(listed[0]["receipt_id"])


async def test_the_document_holds_the_bytes_that_the_api_gives(server: Server) -> None:
    receipt_id = await sealed(server)
    answer = await server.get(f"/v1/receipts/{receipt_id}.pdf")
    assert (answer.status, answer.media_type) == (200, "application/pdf")
    found = read_pdf(answer.body)
    assert found.files == {
        "receipt-body.json": (await server.get(f"/v1/receipts/{receipt_id}/body")).body,
        "bundle.json": (await server.get(f"/v1/receipts/{receipt_id}.json")).body,
    }
    assert f"Receipt {receipt_id} Status Not yet anchored Total cost 0.264235 USD" in found.text
    assert "Department legal Project contracts Client globex Employee e-1042 Session review-7" in found.text


async def test_who_may_not_see_people_gets_them_marked_as_withheld(guarded: Server) -> None:
    key = await guarded.key("receipts:read", organisation="acme")
    receipt_id = await sealed(guarded, key=key)
    answer = await guarded.get(f"/v1/receipts/{receipt_id}.pdf", key)
    found = read_pdf(answer.body)
    assert "Employee withheld" in found.text
    assert "Session withheld" in found.text
    for secret in (b"e-1042", b"review-7"):
        assert secret.decode() not in found.text
        assert all(secret not in content for content in found.files.values())
    personal = await guarded.key("receipts:read", "receipts:personal", organisation="acme")
    told = await guarded.get(f"/v1/receipts/{receipt_id}.pdf", personal)
    assert "Employee e-1042 Session review-7" in read_pdf(told.body).text
    assert told.headers["ETag"] != answer.headers["ETag"]


async def test_the_receipt_of_another_organisation_is_not_found(guarded: Server) -> None:
    receipt_id = await sealed(guarded, key=await guarded.key("receipts:read", organisation="acme"))
    other = await guarded.key("receipts:read", organisation="initech")
    answer = await guarded.get(f"/v1/receipts/{receipt_id}.pdf", other)
    assert (answer.status, answer.media_type) == (404, "application/problem+json")


async def test_who_has_the_document_already_gets_no_second_copy_until_something_is_new(server: Server) -> None:
    receipt_id = await sealed(server)
    path = f"/v1/receipts/{receipt_id}.pdf"
    first = await server.get(path)
    again = await server.get(path, **{"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    assert (await server.get(path)).body == first.body
    await server.send(ASpan())  # a call of the same session that comes late
    await server.seal()
    later = await server.get(path, **{"If-None-Match": first.headers["ETag"]})
    assert later.status == 200
    assert "corrects this one" in read_pdf(later.body).text


async def test_a_correction_and_what_it_corrects_name_each_other(server: Server) -> None:
    first = await sealed(server)
    await server.send(ASpan())
    await server.seal()
    second = (await server.get("/v1/receipts?organisation=acme")).json["receipts"][1]["receipt_id"]
    text = read_pdf((await server.get(f"/v1/receipts/{second}.pdf")).body).text
    assert text.startswith("Correction of an AI usage receipt acme")
    assert f"This one corrects {first}" in text
    assert f"{first} is corrected by this one" in text


async def test_a_certification_is_added_where_asked_for(server: Server) -> None:
    receipt_id = await sealed(server)
    answer = await server.get(f"/v1/receipts/{receipt_id}.pdf?certification=true")
    assert "Certification of electronic records" in read_pdf(answer.body).pages[-1]
    wrong = await server.get(f"/v1/receipts/{receipt_id}.pdf?certification=maybe")
    assert (wrong.status, wrong.media_type) == (400, "application/problem+json")


async def test_other_requests_do_not_wait_for_documents_and_too_many_of_them_are_refused() -> None:
    typesetter = Typesetter(threads=1, most_waiting=1)
    finish = threading.Event()

    def make() -> bytes:
        assert finish.wait(20)
        return b"made"

    asked = [asyncio.create_task(typesetter.set(make)) for _ in range(2)]
    await asyncio.sleep(0)  # the loop goes on while both wait
    with pytest.raises(TooManyDocuments):
        await typesetter.set(make)
    finish.set()
    assert await asyncio.gather(*asked) == [b"made", b"made"]
    assert await typesetter.set(lambda: b"more") == b"more"
