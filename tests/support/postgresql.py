"""A real PostgreSQL server of this test process's own, in a folder that goes away with it."""

from __future__ import annotations

import atexit
import functools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

_RUN = '"$0" "$@" & cat > /dev/null; kill -QUIT $!; wait $!'  # the server ends when nobody holds its input any more
_FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
_USER = "p402"


class PostgresqlServer:
    """A server that listens on a socket in its folder."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="p402-pg-"))
        self._settings = {"listen_addresses": "", "unix_socket_directories": str(self._folder), **settings}
        self._as_user: dict[str, Any] = {}
        if os.getuid() == 0:  # the server refuses to run as root
            user = pwd.getpwnam("postgres")
            self._as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        locale = ("--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")
        subprocess.run(
            [program("initdb"), "--pgdata", self._data, "--username=postgres", "--auth=trust", "--no-sync", *locale],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self._folder,
            **self._as_user,
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        self.run(f"CREATE ROLE {_USER} LOGIN")

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def url(self, database: str, user: str = _USER) -> str:
        """The address of a database."""
        return f"postgresql://{user}@/{database}?host={self._folder}"

    def start(self) -> None:
        """Start, and return when connections are accepted."""
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", _RUN, program("postgres"), "-D", self._data, *options],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._as_user,
            )
        deadline = time.monotonic() + 60
        while True:
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.url("postgres", "postgres")).close()
                return
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.02)

    def stop_at_once(self) -> None:
        """End it as a power cut would, as far as a signal can: nothing is written any more."""
        assert self._process is not None
        assert self._process.stdin is not None
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def run(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as the administrator."""
        with psycopg.connect(self.url(database, "postgres"), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def create(self, database: str, template: str = "template0") -> str:
        """Make a database; gives its address."""
        self.run(f"CREATE DATABASE {database} TEMPLATE {template} OWNER {_USER}")
        return self.url(database)

    def remove(self) -> None:
        """Stop, and take everything away."""
        self.stop_at_once()
        shutil.rmtree(self._folder)


@functools.cache
def shared_server() -> PostgresqlServer:
    """The server of this process; it forgets in a power cut, and is fast."""
    server = PostgresqlServer(_FAST)
    atexit.register(server.remove)
    return server


@contextmanager
def durable_server() -> Iterator[PostgresqlServer]:
    """A server of one test, which may kill it: what it committed is on disk."""
    server = PostgresqlServer({})
    try:
        yield server
    finally:
        server.remove()


def administrators(url: str) -> str:
    """The address of a database for the administrator."""
    return url.replace(f"//{_USER}@", "//postgres@")


def program(name: str) -> str:
    """Debian keeps the server's programs outside the path, in a folder for each version."""
    found = shutil.which(name) or max(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), default=None)
    assert found is not None, f"{name} is missing: .ci/system installs PostgreSQL"
    return str(found)
