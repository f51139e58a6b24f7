"""Text in, `Flow` out: the language room. Pure; `agent.flow.load` is its front door."""
