"""A proxy in front of a service that is not instrumented: a real nginx asks /v1/authorize before it lets a request through."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from support.collector import eventually, running_collector
from support.control import control_of
from support.ports import steady_port

CONFIGURATION = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr warn;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      auth_request /authorize;
      proxy_pass {service};
    }}
    location = /authorize {{
      internal;
      proxy_pass {collector}/v1/authorize;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header Authorization "Bearer {key}";
      proxy_set_header X-P402-Department $http_x_department;
    }}
  }}
}}
"""


class _Service(BaseHTTPRequestHandler):
    reached = 0

    def do_POST(self) -> None:
        type(self).reached += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def service() -> Iterator[tuple[str, type[_Service]]]:
    kind = type("Service", (_Service,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", kind
        server.shutdown()


@contextmanager
def nginx(folder: Path, port: int, **addresses: str) -> Iterator[str]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    assert program is not None, "nginx is missing: .ci/system installs it"
    folder.mkdir()
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port, **addresses))
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(configuration), "-e", "stderr"])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def status(url: str) -> int | None:
    try:
        return httpx.post(url, json={"prompt": "Hm?"}, headers={"X-Department": "legal"}).status_code
    except httpx.TransportError:
        return None  # it does not listen yet


@pytest.mark.timeout(90)
def test_nginx_blocks_a_department_that_has_spent_its_budget_and_lets_it_through_when_the_cap_is_raised(
    tmp_path: Path,
) -> None:
    settings = {"P402_REQUIRE_KEY": "1", "P402_DEFAULT_ORGANISATION": "acme"}
    with running_collector(tmp_path / "collector", settings) as collector, service() as (upstream, reached):
        control = control_of(collector)
        legal = {"level": "department", "node": "legal", "period": "month"}
        control.put_budget("legal", {**legal, "cap": "0.12"})
        key = control.post("/v1/keys", {"name": "nginx", "scopes": ["feedback"], "organisation": "acme"})["secret"]
        addresses = {"service": upstream, "collector": collector.url, "key": key}
        with nginx(tmp_path / "nginx", steady_port(), **addresses) as proxy:
            assert eventually(lambda: status(proxy)) == 200
            assert [status(proxy) for _ in range(3)] == [200, 403, 403]  # $0.05 each
            assert reached.reached == 2
            control.put_budget("legal", {**legal, "cap": "10"})
            raised = time.monotonic()
            assert eventually(lambda: status(proxy) == 200, 10)
            print(f"let through {time.monotonic() - raised:.3f} s after the cap was raised")  # noqa: T201
            assert reached.reached == 3
