"""People: who somebody is and may do, and what is kept secret for them: users, projects, roles, tokens, sessions, secrets.

Called by all rooms above. Secrets are in clear only inside `vault`; who has no right in a project learns nothing of it.
"""
