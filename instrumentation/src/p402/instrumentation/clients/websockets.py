"""Looks at the connections of the package ``websockets``, through which the SDKs speak to realtime APIs, to warn of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import wrapt
from opentelemetry.instrumentation.utils import unwrap

from p402.instrumentation.guard import guard
from p402.instrumentation.unseen import warn_of_websocket

__all__ = ["WebsocketsHook"]


class WebsocketsHook:
    """The hook: where a connection, synchronous or not, takes its address. Set when the package is first imported."""

    def __init__(self, own_hosts: Mapping[str, str]) -> None:
        self._own_hosts = own_hosts
        self._module: Any = None
        self._removed = False
        wrapt.register_post_import_hook(self._hook, "websockets.client")

    def remove(self) -> None:
        """Undo it."""
        self._removed = True
        if self._module is not None:
            unwrap(self._module.ClientProtocol, "__init__")
            self._module = None

    def _hook(self, module: ModuleType) -> None:
        with guard("hooking websockets"):
            if not self._removed:
                wrapt.wrap_function_wrapper(module, "ClientProtocol.__init__", self._init)
                self._module = module

    def _init(self, wrapped: Callable[..., None], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        wrapped(*args, **kwargs)
        with guard("looking at a WebSocket"):
            uri = args[0] if args else kwargs["uri"]
            warn_of_websocket(uri.host, uri.path, uri.port, self._own_hosts)
