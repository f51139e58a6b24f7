"""The tables of states in the WHERE of an UPDATE: what the table does not have changes no row."""

from sqlalchemy import Column, ColumnElement, false, or_

from agent.states import State, Transitions


def may_become(column: Column[State], table: Transitions[State], new: State) -> ColumnElement[bool]:
    """Whether the row is in a state that `new` may follow on. Written without IN, as hot statements want it."""
    return or_(false(), *(column == old for old in table.sources(new)))
