"""Traces that stay of records: dead letters, the last ones and those that failed, and figures. On the server, or in a folder."""
