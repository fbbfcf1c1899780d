"""Tables of settlement: what was planned, signed, paid elsewhere, and found on the chain.

Times are UTC milliseconds, the chain's own are seconds; amounts are nano-USD, fees micro-USD as the chain counts them.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, UniqueConstraint

from p402.collector.storage.tables import metadata

__all__ = [
    "chain_checks",
    "discrepancies",
    "flushes",
    "lanes",
    "mpp_payments",
    "payments_elsewhere",
    "settlement_transactions",
    "settlements",
]

_Number = BigInteger().with_variant(Integer, "sqlite")

settlement_transactions = Table(
    "settlement_transactions",
    metadata,
    Column("id", String, primary_key=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("payer", String, nullable=False),
    Column("nonce_key", String, nullable=False),
    Column("nonce", BigInteger, nullable=False),
    Column("valid_before", BigInteger, nullable=False),  # chain time, seconds
    Column("max_fee_per_gas", BigInteger, nullable=False),
    Column("signed_at_block", BigInteger, nullable=False),  # of the first version that could still land
    Column("attempt", Integer, nullable=False),
    Column("raw", LargeBinary, nullable=False),  # the newest version
    Column("tx_hash", String, nullable=False),
    Column("fee_micro_usd", BigInteger),
    Column("signed_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),  # null: under way, and its lane is taken
)

_TAKEN = settlement_transactions.c.ended_at.is_(None)
Index(
    "settlement_transactions_under_way",
    settlement_transactions.c.nonce_key,
    sqlite_where=_TAKEN,
    postgresql_where=_TAKEN,
)

settlements = Table(
    "settlements",
    metadata,
    Column("id", String, primary_key=True),
    Column("organisation", String, nullable=False),
    Column("state", String, nullable=False),  # planned, signed, final, failed
    Column("failure", String),  # its kind
    Column("problem", String),
    Column(
        "in_doubt", Integer, nullable=False, server_default="0"
    ),  # 1: a payment may have left, and nobody has said what became of it
    Column("checkpoint_size", _Number, nullable=False),
    Column("statement", LargeBinary, nullable=False),
    Column("memo", LargeBinary, nullable=False, unique=True),
    Column("alone", Integer, nullable=False, server_default="0"),
    Column("transaction_id", ForeignKey("settlement_transactions.id"), index=True),
    Column("tx_hash", String),
    Column("block_number", BigInteger),
    Column("block_hash", String),
    Column("block_timestamp", BigInteger),  # seconds
    Column("log_index", Integer),
    Column("fee_micro_usd", BigInteger),  # its part of the transaction's
    Column("receipts", BigInteger),
    Column("first_issued_at", BigInteger),
    Column("planned_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Index("settlements_of_organisation", "organisation", "planned_at"),
    Index("settlements_of_block", "block_number"),
)

_UNDER_WAY = settlements.c.state.in_(("planned", "signed"))
Index("settlements_under_way", settlements.c.planned_at, sqlite_where=_UNDER_WAY, postgresql_where=_UNDER_WAY)

mpp_payments = Table(  # what payees that speak MPP asked and said; payee and amount stand in the statement
    "mpp_payments",
    metadata,
    Column("settlement_id", ForeignKey("settlements.id"), primary_key=True),
    Column("url", String),
    Column("challenge", String),  # JSON, in the payee's own words
    Column("memo", LargeBinary, unique=True),  # of the payment for that challenge
    Column("asked", Integer, nullable=False, server_default="0"),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("try_at", BigInteger),
    Column("confirmed_at", BigInteger),
    Column("receipt", String),
    Column("refusal", String),
)
_UNCONFIRMED = mpp_payments.c.confirmed_at.is_(None)
Index("mpp_payments_unconfirmed", mpp_payments.c.try_at, sqlite_where=_UNCONFIRMED, postgresql_where=_UNCONFIRMED)

lanes = Table(
    "lanes",
    metadata,
    Column("chain_id", BigInteger, primary_key=True),
    Column("payer", String, primary_key=True),
    Column("nonce_key", String, primary_key=True),
    Column("next_nonce", BigInteger, nullable=False),
)

payments_elsewhere = Table(  # what lowers what is due
    "payments_elsewhere",
    metadata,
    Column("id", String, primary_key=True),
    Column("organisation", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("reference", String, nullable=False),  # of the transaction, the invoice
    Column("amount_nano_usd", BigInteger, nullable=False),
    Column("settlement_id", ForeignKey("settlements.id")),  # the one that states it
    Column("noted_at", BigInteger, nullable=False),
    Column("noted_by", String),  # id of the API key
    UniqueConstraint("organisation", "kind", "reference"),
)

flushes = Table(  # who asked last that an organisation be settled now
    "flushes",
    metadata,
    Column("organisation", String, primary_key=True),
    Column("asked_at", BigInteger, nullable=False),
    Column("asked_by", String),
)

chain_checks = Table(  # comparisons of the chain with this ledger; the newest says how far they got
    "chain_checks",
    metadata,
    Column("id", String, primary_key=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("payer", String, nullable=False),
    Column("token", String, nullable=False),
    Column("first_block", BigInteger, nullable=False),
    Column("last_block", BigInteger, nullable=False),
    Column("transfers", BigInteger, nullable=False),
    Column("settlements", BigInteger, nullable=False),
    Column("checked_at", BigInteger, nullable=False),
    Index("chain_checks_of_payer", "chain_id", "payer", "token", "last_block"),
)

discrepancies = Table(
    "discrepancies",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("place", String, nullable=False),  # on the chain, or the settlement that is not there
    Column("organisation", String),  # null: nobody's that we know
    Column("settlement_id", ForeignKey("settlements.id")),
    Column("tx_hash", String),
    Column("memo", LargeBinary, nullable=False),
    Column("problem", String, nullable=False),
    Column("found_at", BigInteger, nullable=False),
    UniqueConstraint("kind", "place"),
)
