"""What the environment asks of the instrumentation, read once and frozen.

A value that cannot be used is reported and its default taken: a typing error never stops the host.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from p402.instrumentation import environment_variables as names
from p402.instrumentation.content import ContentMode
from p402.instrumentation.peers import TrustedPeers
from p402.vocabulary import Attribution, Level, is_valid_id
from p402.vocabulary.environment import DEFAULT_COLLECTOR_URL

__all__ = ["Settings", "trusted_peers_of"]

_logger = logging.getLogger("p402.instrumentation")
_HOST_AND_PROVIDER = re.compile(r"[\w.-]+(?::\d+)?=[\w.-]{1,64}")
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})
_SHORTEST_KEY = 16
_LONGEST_TIMEOUT_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of one process."""

    collector_url: str = DEFAULT_COLLECTOR_URL
    """Where spans go, without a slash at its end."""
    api_key: str | None = None
    disabled: bool = False
    baggage_hosts: frozenset[str] = frozenset()
    """Hosts, in lower case, that may receive baggage with calls of a model."""
    openai_hosts: Mapping[str, str] = field(default_factory=dict)
    """``gen_ai.provider.name`` by ``host`` or ``host:port``, in lower case, of servers that speak OpenAI's dialect."""
    defaults: Attribution = field(default_factory=Attribution)
    """Attribution where neither code nor a caller says otherwise."""
    task_type: str | None = None
    data_class: str | None = None
    trusted_peers: TrustedPeers = field(default_factory=TrustedPeers)
    """Whose baggage counts."""
    content_mode: ContentMode = ContentMode.METADATA
    fingerprint_key: bytes | None = field(default=None, repr=False)
    budgets: bool = False
    """Whether calls are decided by the collector's budgets and policies."""
    fail_closed: bool = False
    """Whether a call is refused when the collector cannot be asked, where no policy says otherwise."""
    decision_timeout: float = 0.05
    """Seconds that a call waits for the collector's answer."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings; what cannot be used is logged as a warning, without its value."""
        levels = {level.value: _id(environment, f"P402_{level.name}") for level in Level if level is not Level.REQUEST}
        collector_url = _collector_url(environment)
        hosts = environment.get(names.P402_BAGGAGE_HOSTS, "").split(",")
        return cls(
            collector_url=collector_url,
            api_key=_api_key(environment),
            disabled=_switch(environment, names.P402_DISABLED),
            baggage_hosts=frozenset(host.strip().lower() for host in hosts if host.strip()),
            openai_hosts=_openai_hosts(environment),
            defaults=Attribution(**levels),
            task_type=_id(environment, names.P402_TASK_TYPE),
            data_class=_id(environment, names.P402_DATA_CLASS),
            trusted_peers=trusted_peers_of(environment),
            content_mode=_content_mode(environment),
            fingerprint_key=_fingerprint_key(environment),
            budgets=_budgets(environment, collector_url),
            fail_closed=_fail_closed(environment),
            decision_timeout=_decision_timeout(environment),
        )


def trusted_peers_of(environment: Mapping[str, str]) -> TrustedPeers:
    """Read which peers are trusted; if one of them cannot be read, none is."""
    try:
        return TrustedPeers.named(environment.get(names.P402_TRUSTED_PEERS, "").split(","))
    except ValueError:
        _logger.warning(
            "%s is not a list of networks (10.0.0.0/8), addresses and the word unix, with commas; no peer is trusted.",
            names.P402_TRUSTED_PEERS,
        )
        return TrustedPeers()


def _content_mode(environment: Mapping[str, str]) -> ContentMode:
    value = environment.get(names.P402_CONTENT_MODE, "").strip().lower()
    try:
        return ContentMode(value or ContentMode.METADATA)
    except ValueError:
        _logger.warning("%s is none of %s; using metadata.", names.P402_CONTENT_MODE, ", ".join(ContentMode))
        return ContentMode.METADATA


def _fingerprint_key(environment: Mapping[str, str]) -> bytes | None:
    value = environment.get(names.P402_FINGERPRINT_KEY, "").strip().encode()
    if not value or len(value) >= _SHORTEST_KEY:
        return value or None
    _logger.warning(
        "%s is shorter than %d characters, so that it could be guessed, and is ignored.",
        names.P402_FINGERPRINT_KEY,
        _SHORTEST_KEY,
    )
    return None


def _budgets(environment: Mapping[str, str], collector_url: str) -> bool:
    if environment.get(names.P402_BUDGETS, "").strip():
        return _switch(environment, names.P402_BUDGETS)
    return environment.get(names.P402_COLLECTOR_URL, "").strip().rstrip("/") == collector_url


def _fail_closed(environment: Mapping[str, str]) -> bool:
    value = environment.get(names.P402_FAIL_MODE, "").strip().lower() or "open"
    if value not in {"open", "closed"}:
        _logger.warning("%s is neither open nor closed; using open.", names.P402_FAIL_MODE)
    return value == "closed"


def _decision_timeout(environment: Mapping[str, str]) -> float:
    value = environment.get(names.P402_DECISION_TIMEOUT_MS, "").strip()
    if value.isdecimal() and 0 < int(value) <= _LONGEST_TIMEOUT_MS:
        return int(value) / 1_000
    if value:
        _logger.warning(
            "%s is no number of milliseconds from 1 to %d; using 50.",
            names.P402_DECISION_TIMEOUT_MS,
            _LONGEST_TIMEOUT_MS,
        )
    return 0.05


def _id(environment: Mapping[str, str], name: str) -> str | None:
    value = environment.get(name, "")
    if not value:
        return None
    if is_valid_id(value):
        return value
    _logger.warning(
        "%s cannot be an id and is ignored: use 1 to 256 printable characters without spaces around them.", name
    )
    return None


def _switch(environment: Mapping[str, str], name: str) -> bool:
    value = environment.get(name, "").strip().lower()
    if value not in _TRUE | _FALSE:
        _logger.warning("%s is neither 1 nor 0 and is ignored.", name)
    return value in _TRUE


def _collector_url(environment: Mapping[str, str]) -> str:
    value = environment.get(names.P402_COLLECTOR_URL, "").strip().rstrip("/")
    if not value:
        return DEFAULT_COLLECTOR_URL
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if usable and not parts.query and not parts.fragment and not parts.username:
        return value
    _logger.warning(
        "%s is not an http:// or https:// URL of a host (without user, query or fragment); using %s.",
        names.P402_COLLECTOR_URL,
        DEFAULT_COLLECTOR_URL,
    )
    return DEFAULT_COLLECTOR_URL


def _openai_hosts(environment: Mapping[str, str]) -> dict[str, str]:
    hosts: dict[str, str] = {}
    for entry in environment.get(names.P402_OPENAI_HOSTS, "").lower().split(","):
        if _HOST_AND_PROVIDER.fullmatch(entry.strip()):
            host, _, provider = entry.strip().partition("=")
            hosts[host] = provider
        elif entry.strip():
            _logger.warning(
                "An entry of %s is ignored: write host=provider or host:port=provider, for example "
                "llm.internal:8000=vllm.",
                names.P402_OPENAI_HOSTS,
            )
    return hosts


def _api_key(environment: Mapping[str, str]) -> str | None:
    value = environment.get(names.P402_API_KEY, "").strip()
    if not value:
        return None
    if value.isascii() and value.isprintable() and " " not in value:
        return value
    _logger.warning(
        "%s cannot be sent in a header and is ignored: it has spaces or unusual letters.", names.P402_API_KEY
    )
    return None
