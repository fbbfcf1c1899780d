"""What an evidence pack says of the controls that it supports evidence for: what each asks, the records, how to check them.

The pack holds records and ways to check them. Whether a control is met is for the auditor to say.
"""

from __future__ import annotations

from datetime import datetime

from p402.vocabulary import rfc3339

__all__ = ["CONTROLS_NAME", "controls_text"]

CONTROLS_NAME = "CONTROLS.md"

_TEXT = """\
# Evidence of controls over the use of AI

Organisation: {organisation}
Period: {begin} to {end} (UTC)

This pack supports evidence for the controls below. It states no opinion on whether they are met.

Before anything else: `manifest.json` (beside this archive) has the SHA-256 and the number of records of every file.

    unzip evidence.zip -d evidence && cd evidence && sha256sum *

## SOC 2, CC6.1: logical access to protected information assets

What the control asks: that access to information assets is restricted by security software and architecture, and that it
can be told who used what, by which credential and right.

| records | say |
|---|---|
| `receipts.csv`, `bundle-*.json` | each session with AI: department, project, client, how far the attribution is verified by the API key, models, and why each was used |
| `audit.csv` | each change of API keys, budgets and policies: by which key, when |
| `access-log.csv` | each read of personal data through the API: by which key, when, how many records |

How to check: pick sessions from `receipts.csv` and ask the application's owner for the same ones. Compare `audit.csv` with
your approvals of changes. Names are commitments in the receipts: ask for an export that discloses `employee` where
you need them, and the bundle proves that they are the ones that were sealed.

## SOC 2, CC7.2: monitoring for anomalies

What the control asks: that system components are monitored for anomalies, and that these are analysed.

| records | say |
|---|---|
| `receipts.csv` | the population: `seq` is the place in the log, and nothing can be taken out of it unseen |
| `anomalies.csv` | each session that was flagged, by which rule, and what became of the review |
| `reviews.csv` | human reviews of sessions: requested, approved, rejected, commented, and whether by the session's own employee |

How to check: draw the sample from `receipts.csv`. For completeness of the log, verify the bundles and the checkpoints (below).
For completeness of the ledger, reconcile it with the providers' invoices (`p402 reconcile`).

## ISO/IEC 27001:2022, A.8.15: logging

What the control asks: that logs of activities are produced, stored, protected and analysed.

| records | say |
|---|---|
| `bundle-*.json` | every entry of the log from the first receipt of the period to the last, each with the proof that it is in the log |
| `checkpoints.csv` | each signed state of the log: its size and root |
| `settlements.csv` | which states were anchored on the chain, and in which transaction |

How to check, offline, with the key that you got from the organisation by another way (`/.well-known/receipt-keys`):

    pip install p402-receipts
    for bundle in bundle-*.json; do p402-verify --complete --key 'NAME+ID+KEY' "$bundle"; done

With `--complete` it fails where an entry is missing; one bundle begins after the last entry of the one before it
(`first_seq` and `last_seq` in the manifest). With `--rpc URL` it looks the anchors up on the chain, which shows that the log
existed then as it is now.

What is not a receipt (settlements, reviews, holds, erasures) takes the numbers that `seq` skips in `receipts.csv`.

## What these records do not show

That every use of AI went through the metered applications; reconcile with invoices for that. Nor that what the
applications said about a call (its employee, where the attribution is not verified) is true.
"""


def controls_text(organisation: str, begin: datetime | None, end: datetime | None) -> str:
    """Write the text for an organisation and a period."""
    return _TEXT.format(
        organisation=organisation,
        begin="the beginning" if begin is None else rfc3339(begin),
        end="the time of the export" if end is None else rfc3339(end),
    )
