"""The libraries of the extra ``p402-receipts[tempo]``; nothing else in this distribution imports web3 or pytempo."""

from __future__ import annotations

import sys

from p402.receipts.errors import ExtraMissing

_RECURSION_LIMIT = sys.getrecursionlimit()
try:
    from pytempo import Call, CallScope, KeyRestrictions, SignatureType, TempoTransaction, TokenLimit
    from pytempo.contracts import TIP20, AccountKeychain
    from web3 import Account, AsyncHTTPProvider, AsyncWeb3, Web3
    from web3.types import RPCEndpoint
except ImportError as error:
    raise ExtraMissing("Settling on Tempo needs an extra: pip install 'p402-receipts[tempo]'.") from error
finally:
    # py_ecc, which web3 imports, raises the limit to 100,000: then deeply nested JSON from anywhere ends the process.
    sys.setrecursionlimit(_RECURSION_LIMIT)

__all__ = [
    "TIP20",
    "Account",
    "AccountKeychain",
    "AsyncHTTPProvider",
    "AsyncWeb3",
    "Call",
    "CallScope",
    "KeyRestrictions",
    "RPCEndpoint",
    "SignatureType",
    "TempoTransaction",
    "TokenLimit",
    "Web3",
]
