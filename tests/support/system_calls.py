"""The system calls that a process makes, in their order, as strace sees them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

SENDING = ("sendto", "sendmsg", "write", "writev")
RECEIVING = ("recvfrom", "recvmsg")
SYNCING = ("fsync", "fdatasync")
_TRACED = (*SENDING, *RECEIVING, *SYNCING, "pwrite64")

_BEGUN = re.compile(r"(?P<thread>\d+) +(?P<name>\w+)\(\d+<(?P<file>.+?)>(?=[,)]| <unfinished)(?P<text>.*)")
_RESUMED = re.compile(r"(?P<thread>\d+) +<\.\.\. \w+ resumed>(?P<text>.*)")
_UNFINISHED = "<unfinished ...>"


@dataclass(frozen=True)
class Call:
    """A call on an open file or socket; `begun` and `done` are places in the trace."""

    name: str
    file: str
    """Path, or both ends of the connection."""
    text: str
    """The other arguments and the result."""
    begun: int
    done: int

    @property
    def succeeded(self) -> bool:
        return not re.search(r"= (-1 .*|\?)$", self.text)


def traced(command: Sequence[str], trace: Path, *options: str) -> tuple[str, ...]:
    """Give the command that runs another one and writes its calls to a file."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.fail(
            "strace is not installed, and without it nobody can see whether a commit is synced: install strace."
        )
    # -D: the command is our own child, so that signals reach it. The strings are as long as a page of the database.
    show = ("-D", "-f", "--seccomp-bpf", "-yy", "-s", "6000", "-e", f"trace={','.join(_TRACED)}")
    return (strace, *show, "-o", str(trace), *options, *command)


def calls_in(trace: Path) -> list[Call]:
    """Read a trace; calls that never returned are left out."""
    calls: list[Call] = []
    unfinished: dict[str, Call] = {}
    for place, line in enumerate(trace.read_text(encoding="utf-8", errors="replace").splitlines()):
        if begun := _BEGUN.match(line):
            call = Call(begun["name"], begun["file"], begun["text"], place, place)
            if call.text.endswith(_UNFINISHED):
                unfinished[begun["thread"]] = call
            else:
                calls.append(call)
        elif (resumed := _RESUMED.match(line)) and (known := unfinished.pop(resumed["thread"], None)):
            text = known.text.removesuffix(_UNFINISHED) + resumed["text"]
            calls.append(replace(known, text=text, done=place))
    return calls
