"""The ledger as invoices are compared with it, the charges behind a row, and the comparisons that were made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, insert, literal, not_, select

from p402.collector.reconciliation.lines import LineKind, model_key
from p402.collector.reconciliation.match import LedgerSum, Place
from p402.collector.storage.charge_rows import charge_of, from_millis, to_millis
from p402.collector.storage.charges import charges_joined, within_scope
from p402.collector.storage.reconciliation_tables import reconciliations
from p402.collector.storage.tables import charges, models, scopes
from p402.vocabulary import Attribution, Charge, Level, Money

__all__ = [
    "Compared",
    "Parts",
    "Reconciliation",
    "charges_of_place",
    "ledger_sums",
    "names_of_models",
    "place_of_charge",
    "reconciliation_by_id",
    "reconciliations_page",
    "record_reconciliation",
]

Parts = Mapping[str, Attribution]
"""Which part of the tree each of a provider's keys pays for. A charge belongs to the first that it is in."""

_PROVIDERS = {  # names of `gen_ai.provider.name` by whose invoice it is
    "openai": ("openai",),
    "anthropic": ("anthropic",),
    "google": ("gcp.gemini", "gcp.vertex_ai", "gcp.gen_ai", "gemini", "vertex_ai"),
}
_HOUR = 3_600_000  # milliseconds
_TOKENS = {
    LineKind.INPUT: charges.c.input_tokens - charges.c.cache_read_input_tokens - charges.c.cache_write_input_tokens,
    LineKind.CACHE_READ: charges.c.cache_read_input_tokens,
    LineKind.CACHE_WRITE: charges.c.cache_write_input_tokens - charges.c.cache_write_1h_input_tokens,
    LineKind.CACHE_WRITE_1H: charges.c.cache_write_1h_input_tokens,
    LineKind.OUTPUT: charges.c.output_tokens,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What was compared: whose charges, of which days, split into which parts."""

    organisation: str
    provider: str
    begin: date
    end: date
    """The last day."""
    time_zone: str
    parts: Parts

    @property
    def begins_at(self) -> datetime:
        """Midnight of the first day."""
        return _midnight(self.begin, self.time_zone)

    @property
    def ends_at(self) -> datetime:
        """Midnight after the last day."""
        return _midnight(self.end + timedelta(days=1), self.time_zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """A comparison as it is kept."""

    id: str
    compared: Compared
    documents: Sequence[Mapping[str, str]]
    totals: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    created_at: datetime
    created_by: str


def ledger_sums(connection: Connection, compared: Compared) -> Iterator[LedgerSum]:
    """Sum the charges of calls that began on the days that are compared, by day, model and part."""
    levels = _levels(compared.parts)
    hour = (charges.c.started_at // _HOUR).label("hour")
    sums = [
        func.count().label("charges"),
        (func.count() - func.count(charges.c.cost_nano_usd)).label("unpriced"),
        func.coalesce(func.sum(charges.c.cost_nano_usd), 0).label("cost"),
        *(func.sum(tokens).label(kind.value) for kind, tokens in _TOKENS.items()),
    ]
    named = models.c.request_model, models.c.response_model
    grouped = [hour, *named, *(scopes.c[level.value] for level in levels)]
    query = (
        select(*grouped, *sums)
        .select_from(charges)
        .join(scopes, charges.c.scope_id == scopes.c.id)
        .join(models, charges.c.model_id == models.c.id)
        .where(*_charges_of(compared))
        .group_by(*grouped)
    )
    zone = ZoneInfo(compared.time_zone)
    for row in connection.execute(query):
        attribution = Attribution(**{level.value: getattr(row, level.value) or None for level in levels})
        place = Place(
            from_millis(int(row.hour) * _HOUR).astimezone(zone).date(),
            model_key(row.response_model or row.request_model),
            _part(compared.parts, attribution),
        )
        yield LedgerSum(
            place=place,
            tokens={kind: int(getattr(row, kind.value)) for kind in _TOKENS},
            charges=row.charges,
            unpriced_charges=row.unpriced,
            cost=Money(int(row.cost)),
        )


def names_of_models(connection: Connection, compared: Compared) -> set[tuple[str, str]]:
    """Give provider and model of all calls to a provider that the ledger knows, as they were named."""
    names = connection.execute(select(models).where(models.c.provider.in_(_PROVIDERS[compared.provider])))
    return {(row.provider, row.response_model or row.request_model) for row in names}


def charges_of_place(
    connection: Connection, compared: Compared, place: Place, after: int, limit: int
) -> list[tuple[int, Charge]]:
    """Give the charges that a sum of `ledger_sums` is made of, in the order of recording."""
    names = connection.execute(select(models).where(models.c.provider.in_(_PROVIDERS[compared.provider])))
    ids = [row.id for row in names if place.model in ("", model_key(row.response_model or row.request_model))]
    day = Compared(**{**_fields(compared), "begin": place.day, "end": place.day})
    query = charges_joined().where(*_charges_of(day), charges.c.model_id.in_(ids), charges.c.seq > after)
    mine = [and_(*within_scope(within)) for key, within in compared.parts.items() if key == place.part]
    others = [] if place.part else [not_(and_(*within_scope(within))) for within in compared.parts.values()]
    rows = connection.execute(query.where(*mine, *others).order_by(charges.c.seq).limit(limit)).mappings()
    return [(row["seq"], charge_of(dict(row))) for row in rows]


def place_of_charge(connection: Connection, compared: Compared, seq: int) -> Place | None:
    """Tell in which row of a comparison a charge is; None if it is in none."""
    query = charges_joined().where(*_charges_of(compared), charges.c.seq == seq)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return None
    charge = charge_of(dict(row))
    day = charge.started_at.astimezone(ZoneInfo(compared.time_zone)).date()
    return Place(
        day, model_key(charge.response_model or charge.request_model or ""), _part(compared.parts, charge.attribution)
    )


def record_reconciliation(connection: Connection, made: Reconciliation) -> None:
    """Keep a comparison."""
    compared = made.compared
    connection.execute(
        insert(reconciliations).values(
            id=made.id,
            organisation=compared.organisation,
            provider=compared.provider,
            begin=compared.begin.isoformat(),
            end=compared.end.isoformat(),
            time_zone=compared.time_zone,
            keys=json.dumps({key: _named(within) for key, within in compared.parts.items()}),
            documents=json.dumps(list(made.documents)),
            totals=json.dumps(made.totals),
            rows=json.dumps(list(made.rows)),
            created_at=to_millis(made.created_at),
            created_by=made.created_by,
        )
    )


def reconciliation_by_id(connection: Connection, organisation: str, id_: str) -> Reconciliation | None:
    """Find a comparison of an organisation."""
    row = connection.execute(_of(organisation).where(reconciliations.c.id == id_)).one_or_none()
    return None if row is None else _reconciliation(row)


def reconciliations_page(connection: Connection, organisation: str, limit: int) -> list[Reconciliation]:
    """Give the comparisons of an organisation without their rows, the newest first."""
    newest = reconciliations.c.created_at.desc(), reconciliations.c.id.desc()
    without_rows = [column for column in reconciliations.c if column.name != "rows"]
    query = select(*without_rows, literal("[]").label("rows")).where(reconciliations.c.organisation == organisation)
    return [_reconciliation(row) for row in connection.execute(query.order_by(*newest).limit(limit))]


def _of(organisation: str) -> Select[Any]:
    return select(reconciliations).where(reconciliations.c.organisation == organisation)


def _reconciliation(row: Row[*tuple[Any, ...]]) -> Reconciliation:
    compared = Compared(
        organisation=row.organisation,
        provider=row.provider,
        begin=date.fromisoformat(row.begin),
        end=date.fromisoformat(row.end),
        time_zone=row.time_zone,
        parts={key: Attribution(**named) for key, named in json.loads(row.keys).items()},
    )
    return Reconciliation(
        id=row.id,
        compared=compared,
        documents=json.loads(row.documents),
        totals=json.loads(row.totals),
        rows=json.loads(row.rows),
        created_at=from_millis(row.created_at),
        created_by=row.created_by,
    )


def _charges_of(compared: Compared) -> Iterable[ColumnElement[bool]]:
    return (
        scopes.c.organisation == compared.organisation,
        models.c.provider.in_(_PROVIDERS[compared.provider]),
        charges.c.started_at >= to_millis(compared.begins_at),
        charges.c.started_at < to_millis(compared.ends_at),
    )


def _levels(parts: Parts) -> list[Level]:
    used = {level for within in parts.values() for level, value in within if value is not None}
    return [level for level in Level if level in used]


def _part(parts: Parts, attribution: Attribution) -> str:
    known = dict(attribution)
    for key, within in parts.items():
        if all(known[level] == value for level, value in within if value is not None):
            return key
    return ""


def _named(within: Attribution) -> dict[str, str]:
    return {level.value: value for level, value in within if value is not None}


def _fields(compared: Compared) -> dict[str, Any]:
    return {**asdict(compared), "parts": compared.parts}


def _midnight(day: date, time_zone: str) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone))
