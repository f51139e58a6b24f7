"""How each kind of step is done; a file a kind. `agent.job.supervisor.handling` is the table of them."""
