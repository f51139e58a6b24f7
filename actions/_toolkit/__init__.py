"""What this project's actions share; the standard library only. See README.md for how an action imports it."""
