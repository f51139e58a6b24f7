"""`agent action`: what `uses:` means here. `command` declares, the others do."""
