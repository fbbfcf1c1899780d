"""The verifier of an MPP server (pympp), in an environment of its own, shown a transaction's hash as a credential.

Run: mpp_verifier_client.py RPC_URL JSON, with the challenge's id, realm and request, the payer as source, and the hash. Prints
``accepted``, or why not.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from mpp import ChallengeEcho, Credential
from mpp.errors import PaymentError
from mpp.methods.tempo import ChargeIntent


async def main(rpc_url: str, shown: dict[str, Any]) -> None:
    echo = ChallengeEcho(
        id=shown["challenge_id"],
        realm=shown["realm"],
        method="tempo",
        intent="charge",
        request="",
        expires=(datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
    )
    credential = Credential(challenge=echo, payload={"type": "hash", "hash": shown["hash"]}, source=shown["source"])
    async with ChargeIntent(rpc_url=rpc_url) as intent:
        try:
            receipt = await intent.verify(credential, shown["request"])
            print("accepted", receipt.payer)
        except PaymentError as error:
            print(f"refused: {error}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
