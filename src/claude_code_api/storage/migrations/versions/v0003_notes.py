"""What a dialect needs to tell an answer at another time is kept with its turn."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0003"
down_revision: Final = "0002"


def upgrade() -> None:
    op.add_column("turns", sa.Column("note", sa.Text(), nullable=True))
