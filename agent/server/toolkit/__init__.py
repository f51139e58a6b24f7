"""What GitHub's own clients call: so that actions written for GitHub work here unmodified (github-facts.md, section 4)."""
