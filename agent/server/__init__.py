"""The central server (extra `[server]`): runs, jobs, leases, secrets, logs and artifacts. `agent.server.app` is its front door."""
