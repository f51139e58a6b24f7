"""What a `uses:` means: references, manifests, and the store of what was fetched."""
