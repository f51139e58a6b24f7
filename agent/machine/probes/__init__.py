"""Probes, one module a source of facts; none knows another, and `agent.machine.inventory` puts them together."""
