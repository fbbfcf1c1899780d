"""Ends the calls whose streams were dropped without being closed: `async for …: break`, and nobody looks back.

A finalizer runs wherever the garbage collector strikes, perhaps inside a lock that ending a span needs. So it only
puts the call on a queue, which is safe there (`queue.SimpleQueue`), and a thread of ours ends it. Streams still open
when the process exits are ended then.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from queue import SimpleQueue
from typing import Any

from p402.instrumentation.call import Call, StreamEnd
from p402.instrumentation.guard import guard

__all__ = ["watch"]

_queue: SimpleQueue[Call] = SimpleQueue()
_open: weakref.WeakSet[Call] = weakref.WeakSet()
_lock = threading.Lock()
_thread: threading.Thread | None = None


def watch(stream: object, call: Call) -> weakref.finalize[..., Any]:
    """End the call as abandoned when the stream is gone; detach what this returns when the call has ended otherwise."""
    _start()
    _open.add(call)
    finalizer = weakref.finalize(stream, _queue.put, call)
    finalizer.atexit = False
    return finalizer


def _start() -> None:
    global _thread  # noqa: PLW0603 - one thread for the process
    if _thread is None:
        with _lock:
            if _thread is None:
                _thread = threading.Thread(target=_run, name="p402-abandoned", daemon=True)
                _thread.start()
                # Registered after the TracerProvider's own, so it runs before that shuts down.
                atexit.register(_end_all)


def _run() -> None:
    while True:
        _end(_queue.get())


def _end_all() -> None:
    for call in list(_open):
        _end(call)


def _end(call: Call) -> None:
    with guard("ending an abandoned call"):
        call.finish(StreamEnd.ABANDONED)


def _after_fork() -> None:
    global _thread, _lock, _queue
    _thread, _lock, _queue = None, threading.Lock(), SimpleQueue()
    _open.clear()  # the parent ends its own


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
