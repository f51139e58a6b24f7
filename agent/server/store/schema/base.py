"""The base of all tables: one metadata, names for constraints, and the column types.

Times are seconds since the epoch, UTC; JSON is text that `agent.codec` or `json` wrote.
"""

from enum import StrEnum

from sqlalchemy import BigInteger, Enum, Float, Integer, MetaData

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

# 64 bits on both stores; SQLite numbers rows by itself only in a column that is called INTEGER.
Whole = BigInteger().with_variant(Integer(), "sqlite")
Time = Float(53)


def one_of(kind: type[StrEnum]) -> Enum:
    """Text that is one of the values of `kind`, and is read as such; any other is refused when it is written or read."""
    return Enum(
        kind,
        native_enum=False,
        length=None,
        validate_strings=True,
        values_callable=lambda states: [state.value for state in states],
    )
