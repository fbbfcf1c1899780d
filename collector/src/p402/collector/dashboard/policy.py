"""One department's policy: in words and as it is written, its versions, and a form that shows first what a change would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import yaml  # type: ignore[import-untyped]
from aiohttp import web
from sqlalchemy import Connection

from p402.collector.api.endpoint import Caller, endpoint
from p402.collector.api.policy_views import policy_department
from p402.collector.api.problem import BadRequest
from p402.collector.dashboard.forms import AGAIN, FORM, WRITES_RULES, Told, form_of, is_part, see_other
from p402.collector.dashboard.names import Naming
from p402.collector.dashboard.policy_preview import PolicyPreview, PolicyTrials
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.pricing import PriceBook
from p402.collector.routing.differences import differences
from p402.collector.routing.schema import PolicyDefinition, read_policy
from p402.collector.routing.words import policy_in_words
from p402.collector.storage.database import Database
from p402.collector.storage.policies import (
    DEFAULT_DEPARTMENT,
    PolicyChanged,
    StoredPolicy,
    change_policy,
    current_policy,
    newest_versions,
)
from p402.decisions import Catalogue
from p402.vocabulary import Level, Permanent

__all__ = ["PolicyPage"]

_VERSIONS = 30  # that are shown
_LONGEST_REASON = 1_000  # characters, as in the API
_FOREVER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a policy, and in what it differs from the one before."""

    stored: StoredPolicy
    differences: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Policy:
    """What the page shows."""

    department: str
    stored: StoredPolicy | None
    """Its own; None: it has none."""
    default: StoredPolicy | None
    versions: Sequence[Version]

    @property
    def version(self) -> int:
        """The newest one; 0 if there is none."""
        return self.versions[0].stored.version if self.versions else 0


@dataclass(frozen=True, slots=True)
class _Filled:
    """The form as it was sent, and what came of it."""

    text: str | None = None
    reason: str = ""
    period: str = "last"
    wrong: str | None = None
    preview: PolicyPreview | None = None
    status: int = 200


class PolicyPage(Pages):
    """The handlers."""

    def __init__(
        self, shell: Shell, database: Database, naming: Naming, catalogue: Catalogue, prices: PriceBook
    ) -> None:
        super().__init__(shell)
        self._database = database
        self._naming = naming
        self._trials = PolicyTrials(database, shell.clock, catalogue, prices)

    @endpoint("GET /policies/{department}", scope="spend:read", answers={200: HTML})
    async def policy(self, request: web.Request, caller: Caller, query: Told, department: str) -> web.Response:
        """Show a department's policy in words and as it is written, with its versions."""
        return await self._show(request, caller, query, policy_department(department, caller.principal), _Filled())

    @endpoint(
        "POST /policies/{department}",
        scope=WRITES_RULES,
        answers={200: HTML, 303: None, 400: AGAIN, 412: HTML},
        takes=FORM,
    )
    async def change(self, request: web.Request, caller: Caller, query: Told, department: str) -> web.Response:
        """Change a policy, preview that, or end it; 412 if somebody changed it meanwhile."""
        caller.principal.require_whole_organisation()
        name, form = policy_department(department, caller.principal), await form_of(request)
        action, text, reason = form.get("action"), form.get("text", ""), form.get("reason", "")
        filled = _Filled(text, reason, form.get("on", "last"))
        address = self._shell.frame(request, caller, query).to
        try:
            wanted = None if action == "end" else _written(text)
            if action == "preview" and wanted is not None:
                preview = await self._trials.preview(caller, name, wanted, filled.period)
                return await self._show(request, caller, query, name, replace(filled, preview=preview))
            changed = await self._change(caller, name, wanted, reason, _version(form))
        except PolicyChanged as error:
            filled = replace(filled, wrong=_meanwhile(error.version), status=412)
            return await self._show(request, caller, query, name, filled)
        except Permanent as error:
            filled = replace(filled, wrong=str(error), status=200 if is_part(request) else 400)
            return await self._show(request, caller, query, name, filled)
        done = ("ended" if wanted is None else "saved") if changed else "unchanged"
        return see_other(address(request.rel_url.raw_path, done=done))

    async def _show(
        self, request: web.Request, caller: Caller, query: Told, department: str, filled: _Filled
    ) -> web.Response:
        page, names = await self._naming.read(
            caller,
            query,
            "GET /policies/{department}",
            lambda connection: _read(connection, caller.organisation, department),
            lambda page: [(Level.DEPARTMENT, page.department)],
        )
        definition = page.stored.definition if page.stored else None
        text = filled.text if filled.text is not None else _text(definition)
        return self._shell.page(
            request,
            caller,
            query,
            "policy.html",
            live=False,
            status=filled.status,
            page=page,
            names=names,
            definition=definition,
            filled=replace(filled, text=text),
            address=request.rel_url.raw_path,
            part=is_part(request),
            writes=caller.principal.may(WRITES_RULES),
            words=policy_in_words,
        )

    async def _change(
        self, caller: Caller, department: str, wanted: PolicyDefinition | None, reason: str, expected: int
    ) -> bool:
        """Make a version; tells whether there was something to change."""
        if len(reason) > _LONGEST_REASON:
            raise BadRequest(f"The reason is longer than {_LONGEST_REASON} characters.")
        now = self._shell.clock.now()
        _, changed = await self._database.write(
            lambda connection: change_policy(
                connection,
                caller.organisation,
                department,
                wanted,
                by=caller.principal.actor,
                reason=reason or None,
                at=now,
                expected=expected,
            )
        )
        return changed


def _read(connection: Connection, organisation: str, department: str) -> _Policy:
    versions = newest_versions(connection, organisation, department, _FOREVER, _VERSIONS + 1)
    pairs = list(zip_longest(versions, versions[1:]))[:_VERSIONS]
    return _Policy(
        department=department,
        stored=current_policy(connection, organisation, department),
        default=current_policy(connection, organisation, DEFAULT_DEPARTMENT),
        versions=[Version(new, list(differences(_json(old), _json(new)))) for new, old in pairs],
    )


def _json(stored: StoredPolicy | None) -> object:
    return {} if stored is None or stored.definition is None else stored.definition.to_json()


def _text(definition: PolicyDefinition | None) -> str:
    """Write a policy as people keep it in a file."""
    document = {} if definition is None else definition.to_json()
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True)) if document else ""


def _written(text: str) -> PolicyDefinition:
    """Read YAML, of which JSON is a part; an empty text is a policy that says nothing.

    Raises:
        BadRequest: if it is none.
        PolicyInvalid: naming the path of each field that is wrong.
    """
    try:
        document = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise BadRequest(f"This is no YAML: {' '.join(str(error).split())[:300]}.") from None
    return read_policy({} if document is None else document)


def _version(form: dict[str, str]) -> int:
    version = form.get("version", "")
    if not (version.isascii() and version.isdigit() and len(version) < 10):  # noqa: PLR2004 - 31 bits
        raise BadRequest("The form does not say of which version it is a change; load the page again.")
    return int(version)


def _meanwhile(version: int) -> str:
    return (
        f"Somebody changed the policy meanwhile: it is at version {version} now, below. What you typed is still here, and "
        "nothing was saved. Look at both, and save again if yours shall replace it."
    )
