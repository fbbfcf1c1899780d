"""Documents are set in threads of their own, a few at a time, so that no other request waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from p402.vocabulary import Transient

__all__ = ["TooManyDocuments", "Typesetter"]


class TooManyDocuments(Transient):
    """More documents were asked for than can be set in time."""


class Typesetter:
    """Sets documents."""

    def __init__(self, threads: int = 2, most_waiting: int = 32) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="typesetter")
        self._most = threads + most_waiting
        self._asked = 0

    async def set(self, make: Callable[[], bytes]) -> bytes:
        """Make one document.

        Raises:
            TooManyDocuments: if too many others are waiting.
        """
        if self._asked >= self._most:
            raise TooManyDocuments("Too many documents are being set at the moment. Please ask again in a second.")
        self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, make)
        finally:
            self._asked -= 1
