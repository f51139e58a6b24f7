"""Failures of a database by itself, told apart from our own mistakes: lost, failing over, busy, full.

A transaction that ends in one of these was undone, or (the connection broke during the commit) may have been done:
whoever tries again must bear both.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from agent.errors import AgentError, RefusedError, UsageError

# PostgreSQL's appendix A. Whole classes: connection lost, out of resources, operator intervention.
_PASSING_CLASSES = ("08", "53", "57")
_PASSING_CODES = (
    "25006",  # read-only: this was the primary before a failover
    "25P03",  # idle in transaction for too long
    "40001",  # serialization failure
    "40P01",  # deadlock
    "55P03",  # lock time-out
)
_PASSING_WORDS = (
    "database is locked",
    "database or disk is full",
    "connection is closed",
    "unable to open database file",
)
_UNSTORABLE = "22"  # data exceptions
DATABASE_ERRORS: Final = (SQLAlchemyError, sqlite3.Error)  # those of ours for them are in the classes below
_REFUSING = ("28", "3D", "42501")  # wrong password, no such database, no right


class UnavailableError(AgentError):
    """The database can't be used right now; the same may work in a moment."""


class UnstorableError(UsageError):
    """A text or a number that no column can hold."""


@contextmanager
def translate_failures(where: str, *, connecting: bool = False) -> Iterator[None]:
    """Raise UnavailableError for what may pass, RefusedError for what a person must mend, UnstorableError for values
    that can't be stored; the rest as it is.

    `connecting`: an OSError in the block is the database's.
    """
    try:
        yield
    except Exception as error:
        told = _translate(error, where, connecting=connecting)
        if told is None:
            raise
        raise told from error


def _translate(error: Exception, where: str, *, connecting: bool) -> AgentError | None:
    """Our error for SQLAlchemy's, or for the driver's own where SQLAlchemy is not between; None for any other."""
    if isinstance(error, AgentError):
        return None
    is_lost = isinstance(error, DBAPIError) and error.connection_invalidated
    cause: BaseException = (error.orig or error) if isinstance(error, DBAPIError) else error
    state = _state_of(cause)
    if is_lost or _passes(cause) or isinstance(error, (PoolTimeoutError, ConnectionError)):
        return _unavailable(cause, where)
    if connecting and isinstance(error, OSError):
        return _unavailable(cause, where)
    if state.startswith(_UNSTORABLE):
        return UnstorableError(f"this can't be stored: {_sentence(cause)}")
    if state.startswith(_REFUSING):
        return RefusedError(
            f"the database does not let us in: {_sentence(cause)}",
            where=where,
            hint="check the user, the password and the name in --database-url",
        )
    return None


def _passes(error: BaseException | None) -> bool:
    state = _state_of(error)
    if state:
        return state.startswith(_PASSING_CLASSES) or state in _PASSING_CODES
    return any(words in str(error) for words in _PASSING_WORDS)


def _state_of(error: BaseException | None) -> str:
    """The SQLSTATE; when the connection broke in the middle only the driver's own error below has one."""
    while error is not None:
        if state := getattr(error, "sqlstate", None):
            return str(state)
        error = error.__cause__
    return ""


def _unavailable(error: BaseException, where: str) -> UnavailableError:
    return UnavailableError(
        f"the database can't be used right now: {_sentence(error)}", where=where, hint="try again in a moment"
    )


def _sentence(error: BaseException) -> str:
    """The first line that the driver gives, without its class names."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
