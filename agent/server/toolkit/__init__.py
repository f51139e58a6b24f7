"""The toolkit's protocols, which GitHub's own clients speak: so that actions written for GitHub work here unmodified (github-facts.md, section 4)."""
