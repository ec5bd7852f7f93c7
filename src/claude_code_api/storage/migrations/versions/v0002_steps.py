"""What an agent did before it answered is kept as messages of their own, marked as steps."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"


def upgrade() -> None:
    op.add_column("messages", sa.Column("step", sa.Integer(), nullable=False, server_default="0"))
