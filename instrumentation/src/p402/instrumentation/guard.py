"""The door between our code and the host's: our failures are reported once for each place, and swallowed.

::

    with guard("reading a response"):
        ...  # whatever goes wrong in here, the host's call goes on

With a ``return`` at the end of the block, what follows it is what to do after a failure only::

    with guard("reading a response"):
        return read(response)
    return nothing
"""

from __future__ import annotations

import logging
from types import TracebackType

__all__ = ["guard"]

_logger = logging.getLogger("p402.instrumentation")
_reported: set[str] = set()


class guard:  # noqa: N801 - reads as a statement: `with guard("…"):`
    """Swallow every `Exception` raised inside; report the first at each place.

    The report names the error and the line, not its message: messages may quote prompts.
    """

    __slots__ = ("place",)

    def __init__(self, place: str) -> None:
        self.place = place

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        if self.place not in _reported:
            _reported.add(self.place)
            while traceback is not None and traceback.tb_next is not None:
                traceback = traceback.tb_next
            where = f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}" if traceback else "unknown"
            _logger.warning(
                "P402 Meter failed while %s (%s at %s). The application is not affected; the call may be missing "
                "from the metering. Further failures of this kind are not reported.",
                self.place,
                type(error).__qualname__,
                where,
            )
        return True
