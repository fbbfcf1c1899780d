"""The root of every error tree.

::

    P402Error
    ├── Permanent    trying the same again cannot help: the input or the set-up is wrong
    └── Transient    trying again later may help: something that we need is away

A receiver answers 400 to the first and 503 to the second; a worker gives up on the first and retries the second.
"""

__all__ = ["P402Error", "Permanent", "Transient"]


class P402Error(Exception):
    """Base of all errors that P402 Meter raises on purpose. The message is for people: what, where, what to do."""


class Permanent(P402Error):
    """Trying the same again cannot help."""


class Transient(P402Error):
    """Trying again later may help."""
