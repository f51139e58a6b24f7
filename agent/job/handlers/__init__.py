"""Step handlers, a file a kind. `agent.job.supervisor.handling` is the table of them."""
