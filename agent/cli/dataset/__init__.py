"""`agent dataset`: `command` declares, `push` and `pull` move the files."""
