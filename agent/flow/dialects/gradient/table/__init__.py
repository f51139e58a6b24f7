"""The table of Gradient's workflow language: every key, what it may hold and what it means here.

Start at `flow.py`; `jobs.py` and `actions.py` hold the parts. To add a key, add one line.

The facts are those of Paperspace's documentation (github.com/Paperspace/Docs, branch gradient-next,
explore-train-deploy/workflows, 2022; docs.digitalocean.com/products/paperspace/workflows, 2023). Its expressions are few and
have no braces: `workflow.inputs.NAME`, `JOB.outputs.NAME`, `secret:NAME` and `context.event.github.MEMBER`.
"""
