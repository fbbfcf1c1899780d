"""``p402 policies``: see, change and try the policies of departments."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from p402.collector.cli.documents import DocumentInvalid, read_document
from p402.collector.cli.remote import Remote, add_options, remote_of
from p402.collector.routing.differences import differences
from p402.collector.routing.schema import PolicyDefinition, PolicyInvalid, read_policy
from p402.vocabulary import SystemClock, rfc3339

__all__ = ["add_to"]


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("policies", help="see, change and try the policies of departments")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="name the departments that have a policy")
    listing.set_defaults(run=lambda parsed: _list(remote_of(parsed)))
    show = actions.add_parser("show", help="print a department's policy as JSON")
    show.add_argument("department", help="_default is that of departments without one")
    show.set_defaults(run=lambda parsed: _show(remote_of(parsed), parsed.department))
    apply = actions.add_parser(
        "apply",
        help="make the policies of a file the ones in force",
        description="Make the policies of a YAML or TOML file the ones in force, as often as you like: what is as it "
        "shall be stays untouched, and so do departments that the file does not name.",
    )
    apply.add_argument("file", type=Path, help="`departments:` with a policy each, and perhaps `reason:`")
    apply.add_argument("--dry-run", action="store_true", help="show the difference, change nothing")
    apply.add_argument("--reason", help="kept with the new versions (default: the file's)")
    apply.set_defaults(run=lambda parsed: _apply(remote_of(parsed), parsed))
    test = actions.add_parser(
        "test",
        help="say what a policy makes of a call, or would have made of those of a period",
        description="Give --call FILE (YAML or JSON: provider, model, input_tokens, task_type, complexity, …), or --from "
        "and perhaps --to. Nothing is changed.",
    )
    test.add_argument("--department", metavar="ID", help="whose calls, and whose policy")
    test.add_argument(
        "--policy", type=Path, metavar="FILE", help="one policy, or a file of `departments:` (default: in force)"
    )
    test.add_argument("--call", type=Path, metavar="FILE", help="a call that is about to be made")
    test.add_argument("--from", dest="begin", metavar="TIME", help="such as 2026-10-01T00:00:00Z")
    test.add_argument("--to", dest="end", metavar="TIME", help="not included (default: now)")
    test.set_defaults(run=lambda parsed: _test(remote_of(parsed), parsed))
    for action in (listing, show, apply, test):
        add_options(action)


def _list(remote: Remote) -> int:
    policies = remote.get("/v1/policies")["policies"]
    for policy in policies:
        told = ", ".join(f"{name} {policy['definition'][name]}" for name in _TOLD if name in policy["definition"])
        print(f"{policy['department']}  version {policy['version']}  {policy['created_at']}  {told}".rstrip())
    if not policies:
        print("No department has a policy. `p402 policies apply FILE` makes the policies of a file the ones in force.")
    return 0


_TOLD = ("mode", "strategy", "min_tier", "max_tier")


def _show(remote: Remote, department: str) -> int:
    print(json.dumps(remote.get(_path(department)), indent=2, ensure_ascii=False))
    return 0


def _apply(remote: Remote, parsed: argparse.Namespace) -> int:
    document = read_document(parsed.file)
    wanted = _definitions(document, parsed.file)
    reason = parsed.reason or document.get("reason")
    known = {policy["department"]: policy for policy in remote.get("/v1/policies")["policies"]}
    changed = 0
    for department, definition in wanted.items():
        before, after = known.get(department), definition.to_json()
        lines = list(differences(before["definition"] if before else {}, after))
        if before is not None and not lines:
            print(f"{department}: unchanged, version {before['version']}")
            continue
        changed += 1
        print(f"{department}: {'changes version ' + str(before['version']) if before else 'is new'}")
        for line in lines:
            print(f"  {line}")
        if not parsed.dry_run:
            body = {**after, **({"reason": str(reason)} if reason else {})}
            headers = {"If-Match": f'"{before["version"]}"'} if before else {}
            made = remote.ask("PUT", _path(department), body, headers=headers)
            print(f"  version {made['version']} is in force")
    print(f"{changed} of {len(wanted)} policies {'would change' if parsed.dry_run else 'changed'}")
    return 0


def _definitions(document: dict[str, Any], file: Path) -> dict[str, PolicyDefinition]:
    """Check all that a file says before anything is sent."""
    departments = document.get("departments")
    if unknown := sorted(set(document) - {"departments", "reason"}):
        raise DocumentInvalid(f"{file} may have departments and reason, and nothing else; got {', '.join(unknown)}.")
    if not isinstance(departments, dict) or not departments:
        raise DocumentInvalid(f"{file} must have departments: a policy by the id of each, _default for all others.")
    found: dict[str, PolicyDefinition] = {}
    problems: list[str] = []
    for department, policy in departments.items():
        try:
            found[str(department)] = read_policy(policy or {}, f"departments.{department}")
        except PolicyInvalid as error:
            problems.append(str(error))
    if problems:
        raise DocumentInvalid(f"{file}: " + " ".join(problems))
    return found


def _test(remote: Remote, parsed: argparse.Namespace) -> int:
    body: dict[str, Any] = {"department": parsed.department} if parsed.department else {}
    if parsed.policy is not None:
        body["policy"] = _proposed(parsed.policy, parsed.department).to_json()
    if parsed.call is not None:
        body["question"] = read_document(parsed.call)
        answer = remote.ask("POST", "/v1/policies/test", body)
        print(f"{answer['verdict']} ({answer['code']}): {answer['model']}, at most ${answer['most_usd']}")
        print(f"  {answer['rationale']}")
        if answer["would"]:
            print(f"  observing; enforced it would be {answer['would']}")
        return 0
    if not parsed.begin:
        raise DocumentInvalid("Give --call FILE, or --from TIME, such as 2026-10-01T00:00:00Z, and perhaps --to TIME.")
    body["history"] = {"from": parsed.begin, "to": parsed.end or rfc3339(SystemClock().now())}
    for line in _history(remote.ask("POST", "/v1/policies/test", body)):
        print(line)
    return 0


def _proposed(file: Path, department: str | None) -> PolicyDefinition:
    document = read_document(file)
    if "departments" not in document:
        return read_policy(document, str(file))
    known = _definitions(document, file)
    if department not in known:
        raise DocumentInvalid(f"{file} has policies of {', '.join(known)}: say with --department which one is meant.")
    return known[department]


def _history(answer: dict[str, Any]) -> Iterator[str]:
    looked_at = answer["looked_at"]
    yield f"{looked_at['calls']} calls, ${looked_at['cost_usd']}"
    for verdict, tally in answer["verdicts"].items():
        yield f"  {verdict}: {tally['calls']} calls, ${tally['cost_usd']}"
    if unknown := answer["not_judged"]["complexity_unknown"]["calls"]:
        yield f"  not judged: {unknown} calls"
    for rule, calls in answer["rules"].items():
        yield f"  rule {rule}: {calls} calls"
    for move in answer["moves"]:
        costs = f"${move['cost_before_usd']} → ${move['cost_after_usd']}"
        yield f"  {move['provider']}: {move['from']} → {move['to']}: {move['calls']} calls, {costs}"
    for note in answer["notes"]:
        yield f"note: {note}"


def _path(department: str) -> str:
    return f"/v1/policies/{quote(department, safe='')}"
