"""Figures, times and names for people (pure); the templates' filters."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote

from p402.vocabulary import Money

__all__ = [
    "cents",
    "change",
    "count",
    "day",
    "decimal",
    "duration",
    "each",
    "from_epoch",
    "gist",
    "in_path",
    "lasting",
    "moment",
    "month_day",
    "nano",
    "percent",
    "priced",
    "score",
    "share",
    "short",
    "someone",
    "total",
    "usd",
    "when",
]

_THOUSAND = 1000
_UNITS = ("", "k", "M", "G", "T")


def usd(amount: Money | str | None) -> str:
    """Write dollars with at least two decimals and none cut: ``$1,234.50``, ``$0.264235``; ``unpriced`` for None."""
    if amount is None:
        return "unpriced"
    money = Money.parse(amount) if isinstance(amount, str) else amount
    whole, _, fraction = str(money).lstrip("-").partition(".")
    sign = "−" if money.nano_usd < 0 else ""
    return f"{sign}${int(whole):,}.{fraction:0<2}"


def cents(amount: Money | str) -> str:
    """Write dollars rounded half-even to the cent, where the exact amount is a click away: ``$1,234.50``; ``< $0.01``."""
    money = Money.parse(amount) if isinstance(amount, str) else amount
    nano = abs(money.nano_usd)
    whole, rest = divmod(nano, 10_000_000)
    rounded = whole + (rest > 5_000_000 or (rest == 5_000_000 and whole % 2 == 1))  # noqa: PLR2004 - half a cent
    if nano and not rounded:
        return "< $0.01"
    return f"{'−' if money.nano_usd < 0 else ''}${rounded // 100:,}.{rounded % 100:02}"


def priced(amount: Money | str, unpriced: int) -> str:
    """Write a sum and how many of its parts have no price: ``$0.50 + 1 unpriced``; a sum of none is no price at all."""
    cost = Money.parse(amount) if isinstance(amount, str) else amount
    if not unpriced:
        return usd(cost)
    return f"{usd(cost)} + {unpriced} unpriced" if cost.nano_usd else f"{unpriced} unpriced"


def decimal(amount: Money) -> str:
    """Write an amount for a script: ``0.264235``."""
    return str(amount)


def each(amount: Money, number: int) -> Money:
    """Give the mean of so many, rounded down to a nano-dollar; of none: nothing."""
    return Money(amount.nano_usd // number if number else 0)


def total(amounts: Iterable[Money]) -> Money:
    """Give the sum."""
    return Money(sum(amount.nano_usd for amount in amounts))


def count(number: int) -> str:
    """Write a count with separators: ``12,847``."""
    return f"{number:,}"


def gist(number: int) -> str:
    """Write about how many: ``12.8 k``, ``3.41 M``; the exact count belongs beside it."""
    size, unit = float(number), 0
    while size >= _THOUSAND and unit < len(_UNITS) - 1:
        size, unit = size / _THOUSAND, unit + 1
    return f"{size:.3g} {_UNITS[unit]}".strip() if unit else str(number)


def in_path(text: str) -> str:
    """Write an id as a part of an address, whatever is in it: ``a/b c`` is ``a%2Fb%20c``; dots alone would lead elsewhere."""
    return quote(text.replace(".", "%2E") if text in (".", "..") else text, safe="")


def lasting(time: timedelta) -> str:
    """Write how long something took, to two units: ``40 s``, ``12 min 5 s``, ``3 h 20 min``, ``2 d 4 h``."""
    seconds = int(time.total_seconds())
    if seconds < 1:
        return "< 1 s"
    parts = []
    for name, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, seconds = divmod(seconds, length)
        parts.append((number, name))
    first = next(place for place, (number, _) in enumerate(parts) if number)
    return " ".join(f"{number} {name}" for number, name in parts[first : first + 2] if number)


def duration(seconds: float) -> str:
    """Write seconds as `lasting` does."""
    return lasting(timedelta(seconds=seconds))


def moment(text: str) -> str:
    """Write a time that is written as RFC 3339 as `when` does."""
    return when(datetime.fromisoformat(text))


def share(part: Money | int, whole: Money | int) -> int:
    """Give a part in tenths of a per cent of the whole, 0 to 1000; of nothing, 0."""
    small, all_ = (amount.nano_usd if isinstance(amount, Money) else amount for amount in (part, whole))
    return 0 if all_ <= 0 else max(0, min(1000, small * 1000 // all_))


def percent(part: Money | int, whole: Money | int) -> str:
    """Write a part as per cent of the whole: ``37 %``; of nothing: ``—``."""
    small, all_ = (amount.nano_usd if isinstance(amount, Money) else amount for amount in (part, whole))
    if all_ <= 0:
        return "—"
    if 0 < small * 200 < all_:
        return "< 1 %"
    return f"{(small * 200 + all_) // (2 * all_)} %"


def change(now: Money, before: Money | None) -> str:
    """Write how an amount has changed: ``+12 %``, ``−3 %``; ``new`` where there was nothing."""
    if before is None or before.nano_usd <= 0:
        return "new" if now.nano_usd else "—"
    difference = (now.nano_usd - before.nano_usd) * 100
    rounded = (abs(difference) * 2 + before.nano_usd) // (2 * before.nano_usd)
    return f"{'−' if difference < 0 else '+'}{rounded:,} %" if rounded else "± 0 %"


def short(digest: str, length: int = 10) -> str:
    """Shorten a hash or an id so that it can be told from others by eye."""
    return digest if len(digest) <= length + 1 else digest[:length] + "…"


def someone(employee: str) -> str:
    """Stand for an employee where people are not to be seen: the same letters for the same person."""
    return f"Employee {hashlib.sha256(employee.encode()).hexdigest()[:4].upper()}"


def nano(amount: int) -> Money:
    """Give an amount of nano-USD as money."""
    return Money(amount)


def score(millionths: float) -> str:
    """Write a score of an evaluation, which is kept in millionths: ``0.82``."""
    return f"{millionths / 1_000_000:.2f}"


def from_epoch(millis: int) -> datetime:
    """Give the time that is so many milliseconds after 1970."""
    return datetime.fromtimestamp(millis / 1000, UTC)


def when(moment: datetime) -> str:
    """Write a time in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def day(number: int | date) -> str:
    """Write a day, also one that is counted from 1970: ``Mon 4 May``."""
    found = date(1970, 1, 1) + timedelta(days=number) if isinstance(number, int) else number
    return f"{found:%a} {found.day} {found:%b}"


def month_day(day: date) -> str:
    """Write a date of which the year is known: ``4 May``."""
    return f"{day.day} {day:%b}"
