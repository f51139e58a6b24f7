"""`agent flow run`: a run on this machine; the planner and the supervisors, no server between them."""
