"""The database's tables. `migrations/` makes them, step by step."""

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()
_Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up in INTEGER alone

# Ids are text, whatever their type: "1" and 1 are one user, one item.
events = Table(
    "events",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("user_id", String(256), nullable=False),
    Column("item_id", String(256), nullable=False),
    Column("time", Float(53), nullable=False),  # Unix seconds
    Index("events_of_user", "user_id", "time", "number"),
    Index("events_by_time", "time"),
)

# What was answered to a request with an idempotency key, and to the import of a file.
answers = Table(
    "answers",
    metadata,
    Column("key", String(300), primary_key=True),
    Column("request_sha256", String(64), nullable=False),
    Column("answer", Text, nullable=False),  # JSON
    Column("time", Float(53), nullable=False, index=True),
)

# The catalogue served is the run folder's and then these, in order.
changes = Table(
    "catalogue_changes",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),  # add, retire, restore
    Column("item_id", String(256), nullable=False),
    Column("fields", Text),  # JSON, of an added item
    Column("vector", LargeBinary),  # float32, of an added item
    Column("encoder", String(64)),  # whose vector it is
    Column("time", Float(53), nullable=False),
)
