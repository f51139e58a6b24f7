"""The table of dstack's language: every key, by file and by provider; the forms of 2022 and of early 2023 together.

Sources: `providers/*/schema.yaml` of dstack 0.0.5 and `schemas/workflows.json` of dstack 0.7, and the pages of their documentation.
"""
