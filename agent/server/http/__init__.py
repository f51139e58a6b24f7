"""Requests and how they become calls: connections and their bounds, who asks, what was asked, and how errors are said.

`api`, `toolkit` and `web` stand on it; the rooms below never see a request. Whatever handler answers, the guard has
identified its caller, checked its rights and counted it, and its change has a row in the audit log.
"""
