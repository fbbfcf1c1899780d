"""Values that are made for every call: nobody may change them, and making one is cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["value"]

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:
    from dataclasses import dataclass

    def value(*, frozen: bool, **options: Any) -> Any:
        """Make a class a dataclass that is frozen for type checkers only.

        Python sets each field of a frozen one by a call; for a question and its decision that would be a tenth of the time
        that a call may spend at the gate.
        """
        return dataclass(unsafe_hash=frozen, **options)
