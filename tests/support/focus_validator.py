"""The FinOps Foundation's own validator, told which of its rules apply to us."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from support.environments import environment

KNOWN_CONTRADICTION = "InvoiceId-C-005-C"
"""Rules InvoiceId-C-004 (must be null) and -C-005 (must not be) are both applied to every row, so that one always fails."""

_APPLIES = (
    "ACCOUNT_NAMING_SUPPORTED",
    "BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED",
    "MULTIPLE_PRICING_CATEGORIES_SUPPORTED",
    "NEGOTIATED_PRICING_SUPPORTED",
    "PUBLIC_PRICE_LIST_SUPPORTED",
    "RESOURCE_TYPE_ASSIGNMENT_SUPPORTED",
    "SUB_ACCOUNT_SUPPORTED",
    "TAGGING_SUPPORTED",
    "UNIT_PRICING_SUPPORTED",
    "USAGE_MEASUREMENT_SUPPORTED",
)


def failed_rules(focus_csv: Path) -> dict[str, str]:
    """Validate a file against FOCUS 1.2; gives the rules that fail, with what the validator says of each."""
    programs = environment("focus-validator")
    [packages] = programs.parent.glob("lib/python3.*/site-packages")
    command = [str(programs / "focus-validator"), "--data-file", str(focus_csv), "--validate-version", "1.2"]
    command += ["--block-download", "--focus-dataset", "CostAndUsage", "--applicability-criteria", ",".join(_APPLIES)]
    # It looks for its list of currencies from where its packages are, and its exit code says nothing.
    said = subprocess.run(command, cwd=packages, capture_output=True, text=True, check=True, timeout=300).stdout
    results = re.findall(r"^\S+ ([\w-]+): (PASS|FAIL|SKIPPED)(.*)$", said, re.MULTILINE)
    passed = sum(status == "PASS" for _, status, _ in results)
    assert passed > 200, f"the validator checked next to nothing: {said[-2000:]}"
    return {rule: message for rule, status, message in results if status == "FAIL"}
