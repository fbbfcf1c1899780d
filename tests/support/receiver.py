"""A receiver of webhooks: a real HTTP server in a thread, that remembers what came and answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes


@dataclass
class Receiver:
    """What a test sees of it."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """What the next requests are answered; after that, 204."""
    location: str = ""
    """Where a redirect points to."""
    answering: threading.Event = field(default_factory=threading.Event)
    """Clear it, and requests are not answered until it is set again."""

    @property
    def authority(self) -> str:
        return self.url.removeprefix("http://")


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Receive until the block ends."""
    seen = Receiver()
    seen.answering.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = seen.statuses.pop(0) if seen.statuses else 204
            seen.received.append(Received(self.path, headers, body))
            seen.answering.wait(30)
            self.send_response(status)
            if seen.location:
                self.send_header("Location", seen.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    seen.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield seen
    finally:
        seen.answering.set()
        server.shutdown()
        thread.join()
        server.server_close()
