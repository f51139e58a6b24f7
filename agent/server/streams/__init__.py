"""Flows of stages: what outlives their jobs (bookmarks, queues), what is known of them (figures, kept records), and the deployments
that keep them alive. Called by `api` for jobs, senders and people. A record is acknowledged when it is kept, and gone when it is settled.

It stands above `triggers`, whose signatures prove who sends, and `runs`, which it starts; agents know nothing of it.
"""
