"""The agent on a machine: registers it, keeps one connection to the server, and looks after the jobs that it holds."""
