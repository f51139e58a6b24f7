"""The machine: what it has (inventory) and how busy it is (sampling), asked of the system by probes."""
