"""`agent server`: `command` declares; serve, and look after accounts, agents, triggers, backups and wheels."""
