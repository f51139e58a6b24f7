"""asyncio around the pure room: runs a flow's stages and triggers, waits, counts and says. docs/decisions/019-stages.md."""
