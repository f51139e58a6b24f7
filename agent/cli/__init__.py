"""The command line: one module a noun, and a table of them in `agent.cli.main`."""
