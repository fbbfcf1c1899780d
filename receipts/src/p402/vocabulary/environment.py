"""Every environment variable of P402 Meter that more than one part knows."""

P402_COLLECTOR_URL = "P402_COLLECTOR_URL"
"""Where the instrumentation finds the collector. Default: ``http://127.0.0.1:4318``."""

P402_API_KEY = "P402_API_KEY"
"""The key the instrumentation shows to the collector. Default: none."""

P402_DISABLED = "P402_DISABLED"
"""``1`` switches the instrumentation off entirely; it says so once. Default: on."""

P402_BAGGAGE_HOSTS = "P402_BAGGAGE_HOSTS"
"""Hosts, separated by commas, that may receive baggage with LLM calls (internal gateways). Default: none."""

DEFAULT_COLLECTOR_URL = "http://127.0.0.1:4318"
"""OTLP/HTTP, the API and the page share this address."""
