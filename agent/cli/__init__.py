"""The command line: one module a noun, a folder where a noun has more than three files, and a table of them in `agent.cli.main`."""
