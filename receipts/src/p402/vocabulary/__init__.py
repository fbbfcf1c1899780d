"""The words that every part of P402 Meter shares, and nothing else.

One word per idea:

* *level*: one of the seven rungs a call is attributed to, from organisation down to request;
* *attribution*: who a call was for, at six of the levels (the request is the call itself);
* *usage*: tokens by kind; *cost*: what they came to; *charge*: one priced, attributed call;
* *session*: a bounded unit of work; *receipt*: the sealed record of one session.

Only the standard library is imported here, so that an auditor's and a service's install stay light.
"""

from p402.vocabulary._attribution import MAX_ID_LENGTH, Attribution, Level, is_valid_id
from p402.vocabulary._charge import Charge, PriceReference, UsageSource
from p402.vocabulary._clock import Clock, SystemClock, rfc3339
from p402.vocabulary._ids import IdFactory, new_id
from p402.vocabulary._money import NANO_PER_MICRO, NANO_PER_USD, Money
from p402.vocabulary._usage import Usage
from p402.vocabulary.errors import P402Error, Permanent, Transient

__all__ = [
    "MAX_ID_LENGTH",
    "NANO_PER_MICRO",
    "NANO_PER_USD",
    "Attribution",
    "Charge",
    "Clock",
    "IdFactory",
    "Level",
    "Money",
    "P402Error",
    "Permanent",
    "PriceReference",
    "SystemClock",
    "Transient",
    "Usage",
    "UsageSource",
    "is_valid_id",
    "new_id",
    "rfc3339",
]
