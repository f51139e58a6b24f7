"""Secrets and variables, at three levels: the organisation's (project 0), a project's, an environment's of a project.

A secret that was given to one run stands by itself: it is at no level, and goes with the run.
"""

from sqlalchemy import Column, ForeignKey, LargeBinary, String, Table, Text

from agent.server.store.schema.base import Time, Whole, metadata

secrets = Table(
    "secrets",
    metadata,
    Column("project", Whole, primary_key=True, autoincrement=False),  # 0: all projects
    Column("environment", String, primary_key=True),  # empty: all environments
    Column("name", String, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # under the master key, bound to the other three
    Column("refs", Text, nullable=False),  # JSON: patterns of the refs whose runs get it; none: all
    Column("updated_at", Time, nullable=False),
)

run_secrets = Table(
    "run_secrets",
    metadata,
    Column("run", Whole, ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    Column("name", String, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # under the master key, bound to the other two
)

variables = Table(
    "variables",
    metadata,
    Column("project", Whole, primary_key=True, autoincrement=False),
    Column("environment", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
    Column("updated_at", Time, nullable=False),
)
