"""A payee that is paid by MPP: pympp's server behind plain HTTP, in an environment of its own (``mpp``).

Run: mpp_payee.py RPC_URL JSON, with ``chain_id``, ``token`` and ``recipient``. It prints its port, then a line for each answer. The path says what it is
like: ``/pay`` asks for what the payer says that it pays; ``/dearer``, ``/token``, ``/chain``, ``/recipient`` ask for
something else, ``/short`` for half a minute only; ``/patient`` gives a day, ``/deaf`` asks as it should, and takes no credential. What is behind ``/GATE/…``
answers 503 while a file of that name is in its folder.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from mpp.methods.tempo import server as tempo
from mpp.server import Mpp, Request, Response
from mpp.store import MemoryStore

_OTHER = "0x" + "99" * 20
_OTHER_TOKEN = "0x20c0000000000000000000000000000000000002"


class Payee:
    """What pympp says to a request."""

    def __init__(self, rpc_url: str, place: dict[str, Any]) -> None:
        self._place = place
        self._mpp = Mpp(
            methods=tempo.charge(
                rpc_url=rpc_url,
                chain_id=place["chain_id"],
                currencies=[place["token"], _OTHER_TOKEN],
                recipient=place["recipient"],
                store=MemoryStore(),
            ),
            realm="payee.example.com",
            secret_key="a secret of the payee that is long enough",
        )

    async def answer(self, request: Request) -> Response:
        """Ask to be paid, or say that it was."""
        kind = request.url.rpartition("/")[2]
        amount = Decimal(json.loads(request.body or b"{}")["amount_usd"])
        terms: dict[str, Any] = {"amount": f"{amount:f}", "currency": self._place["token"], "body": request.body}
        otherwise: dict[str, dict[str, Any]] = {
            "dearer": {"amount": f"{amount + Decimal('0.000001'):f}"},
            "token": {"currency": _OTHER_TOKEN},
            "chain": {"chain_id": 4217},
            "recipient": {"recipient": _OTHER},
            "short": {"expires_in": timedelta(seconds=30)},
            "patient": {"expires_in": timedelta(days=1)},
        }
        terms |= otherwise.get(kind, {})
        if kind == "deaf" and "authorization" in request.headers:
            return Response.json({"title": "I have no money of yours."}, status=403)
        result = await self._mpp.charge(**terms)(request)
        if result.status != 200:
            return result.challenge
        return result.with_receipt(Response.json({"thanks": True}))


def tell(line: str) -> None:
    """Tell the test."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(rpc_url: str, place: dict[str, Any]) -> None:
    loop, payee = asyncio.new_event_loop(), Payee(rpc_url, place)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = Request("POST", f"http://payee.example.com{self.path}", list(self.headers.items()), body)
            gate = self.path.split("/")[1]
            if Path(gate).exists():
                answer = Response(503)
            else:
                try:
                    answer = loop.run_until_complete(payee.answer(request))
                except Exception as error:  # noqa: BLE001 - as a server does
                    answer = Response.json({"title": f"{error!r} {error.__cause__!r}"}, status=500)
            shown = "shown" if "authorization" in request.headers else "asked"
            tell(f"{shown} {self.path} {answer.status}")
            self.send_response(answer.status)
            for name, value in answer.headers.multi_items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body or b"")))
            self.end_headers()
            self.wfile.write(answer.body or b"")

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    tell(str(server.server_port))
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
