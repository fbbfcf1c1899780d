"""Every environment variable of P402 Meter's instrumentation, each with its meaning; nothing else is in this file."""

from p402.vocabulary.environment import P402_API_KEY, P402_BAGGAGE_HOSTS, P402_COLLECTOR_URL, P402_DISABLED

__all__ = [
    "P402_API_KEY",
    "P402_BAGGAGE_HOSTS",
    "P402_BUDGETS",
    "P402_CLIENT",
    "P402_COLLECTOR_URL",
    "P402_CONTENT_MODE",
    "P402_DATA_CLASS",
    "P402_DECISION_TIMEOUT_MS",
    "P402_DEPARTMENT",
    "P402_DISABLED",
    "P402_EMPLOYEE",
    "P402_FAIL_MODE",
    "P402_FINGERPRINT_KEY",
    "P402_OPENAI_HOSTS",
    "P402_ORGANISATION",
    "P402_PROJECT",
    "P402_SESSION",
    "P402_TASK_TYPE",
    "P402_TRUSTED_PEERS",
]

P402_ORGANISATION = "P402_ORGANISATION"
"""Id of the organisation that pays for this process's calls, where neither code nor a caller says so."""

P402_DEPARTMENT = "P402_DEPARTMENT"
"""Id of the department for this process's calls, where neither code nor a caller says so."""

P402_PROJECT = "P402_PROJECT"
"""Id of the project for this process's calls, where neither code nor a caller says so."""

P402_CLIENT = "P402_CLIENT"
"""Id of the client for this process's calls, where neither code nor a caller says so."""

P402_EMPLOYEE = "P402_EMPLOYEE"
"""Id of the employee for this process's calls, where neither code nor a caller says so. Opaque, not an e-mail address."""

P402_SESSION = "P402_SESSION"
"""Id of the session for this process's calls, where neither code nor a caller says so."""

P402_OPENAI_HOSTS = "P402_OPENAI_HOSTS"
"""What each self-hosted server is called, for example ``llm.internal:8000=vllm,litellm.internal=litellm``."""

P402_TASK_TYPE = "P402_TASK_TYPE"
"""Kind of work of this process's calls, for example ``code-review``, where neither code nor a caller says so."""

P402_DATA_CLASS = "P402_DATA_CLASS"
"""How confidential the content of this process's calls is, in your own words, where neither code nor a caller says so."""

P402_TRUSTED_PEERS = "P402_TRUSTED_PEERS"
"""Networks and addresses, separated by commas, whose baggage counts; ``unix`` for Unix domain sockets. Default: none."""

P402_CONTENT_MODE = "P402_CONTENT_MODE"
"""What spans hold of prompts and answers: ``metadata`` (nothing, the default), ``fingerprint``, ``redacted``, ``full``."""

P402_FINGERPRINT_KEY = "P402_FINGERPRINT_KEY"
"""Secret of at least 16 characters for fingerprints and prompt patterns. Default: a random one for each process."""

P402_BUDGETS = "P402_BUDGETS"
"""``1`` or ``0``: whether calls are decided by the collector's budgets. Default: if ``P402_COLLECTOR_URL`` is set."""

P402_FAIL_MODE = "P402_FAIL_MODE"
"""What becomes of a call when the collector cannot be asked: ``open`` (it goes on, the default) or ``closed`` (refused)."""

P402_DECISION_TIMEOUT_MS = "P402_DECISION_TIMEOUT_MS"
"""How long a call waits for the collector's answer, in milliseconds. Default: 50."""
