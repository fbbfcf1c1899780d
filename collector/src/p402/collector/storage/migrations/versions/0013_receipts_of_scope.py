"""The receipts of a session are found without reading all receipts."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_index("receipts_of_scope", "receipts", ["scope_id", "seq"])
