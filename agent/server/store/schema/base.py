"""The base of all tables: one metadata, names for constraints, and the column types.

Times are seconds since the epoch, UTC; JSON is text that `agent.spec.codec` or `json` wrote.
"""

from sqlalchemy import BigInteger, Float, Integer, MetaData

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
