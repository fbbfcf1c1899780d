"""What must happen under `opentelemetry-instrument` before any instrumentor is loaded."""

from __future__ import annotations

import os

from p402.instrumentation.guard import guard

__all__ = ["pre_instrument"]


def pre_instrument() -> None:
    """Keep the anthropic SDK (2.0 and later) from tracing by itself, unless the environment already says otherwise.

    It would send baggage to the provider, and open a second span for each call with the facts that ours has.
    """
    with guard("preparing the environment"):
        os.environ.setdefault("ANTHROPIC_OPEN_TELEMETRY_PROPAGATION", "false")
        os.environ.setdefault("ANTHROPIC_OPEN_TELEMETRY", "false")
