"""`agent flow`: `command` declares; a file is validated, shown, evaluated, submitted or stored. Runs here are `local_run`."""
