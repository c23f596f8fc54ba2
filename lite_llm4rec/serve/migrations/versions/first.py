"""Events, answers to requests with a key, and catalogue changes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "events",
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("user_id", sa.String(256), nullable=False),
        sa.Column("item_id", sa.String(256), nullable=False),
        sa.Column("time", sa.Float(53), nullable=False),
    )
    op.create_index("events_of_user", "events", ["user_id", "time", "number"])
    op.create_index("events_by_time", "events", ["time"])
    op.create_table(
        "answers",
        sa.Column("key", sa.String(300), primary_key=True),
        sa.Column("request_sha256", sa.String(64), nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("time", sa.Float(53), nullable=False),
    )
    op.create_index("ix_answers_time", "answers", ["time"])
    op.create_table(
        "catalogue_changes",
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("item_id", sa.String(256), nullable=False),
        sa.Column("fields", sa.Text),
        sa.Column("vector", sa.LargeBinary),
        sa.Column("encoder", sa.String(64)),
        sa.Column("time", sa.Float(53), nullable=False),
    )
