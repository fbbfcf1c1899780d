"""The table of HTTP clients: which are installed, which are hooked, and which LLM SDKs would go unseen."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from types import ModuleType
from typing import Protocol

from p402.instrumentation.guard import guard
from p402.instrumentation.inspection import Inspector

__all__ = ["Hook", "hook_clients", "uncovered_sdks"]

_CLIENTS = ("httpx", "httpx2", "aiohttp", "requests", "botocore")
_OF_SDKS = frozenset({"httpx", "httpx2", "aiohttp"})
_SDKS = ("openai", "anthropic", "google-genai")


class Hook(Protocol):
    """Our place in one HTTP client."""

    def remove(self) -> None:
        """Undo it."""
        ...


def hook_clients(inspector: Inspector) -> dict[str, Hook]:
    """Hook every installed client; give the hooks by module."""
    hooks: dict[str, Hook] = {}
    seen: list[ModuleType] = []
    for name in _CLIENTS:
        with guard(f"hooking {name}"):
            if find_spec(name) is None:
                continue
            module = importlib.import_module(name)
            if module not in seen:  # `httpx2.alias_httpx()` makes `import httpx` give httpx2
                hooks[name] = _hook(name, module, inspector)
                seen.append(module)
    return hooks


def uncovered_sdks(hooks: Mapping[str, Hook]) -> list[str]:
    """Name the installed LLM SDKs of whose HTTP clients none is hooked, with the client they need."""
    uncovered = []
    for sdk in _SDKS:
        try:
            required = metadata.requires(sdk) or []
        except metadata.PackageNotFoundError:
            continue
        names = {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in required if "extra ==" not in line}
        needed = sorted(names & _OF_SDKS)
        if not any(name in hooks for name in needed):
            uncovered.append(f"{sdk} (uses {' and '.join(needed) or 'an unknown HTTP client'})")
    return uncovered


def _hook(name: str, module: ModuleType, inspector: Inspector) -> Hook:
    # Each file is imported only where its client is installed.
    if name == "aiohttp":
        from p402.instrumentation.clients.aiohttp import AiohttpHook  # noqa: PLC0415 - see above

        return AiohttpHook(module, inspector)
    if name == "requests":
        from p402.instrumentation.clients.requests import RequestsHook  # noqa: PLC0415 - see above

        return RequestsHook(module, inspector)
    if name == "botocore":
        from p402.instrumentation.clients.botocore import BotocoreHook  # noqa: PLC0415 - see above

        return BotocoreHook(module, inspector)
    from p402.instrumentation.clients.httpx import HttpxHook  # noqa: PLC0415 - see above

    return HttpxHook(module, inspector)
