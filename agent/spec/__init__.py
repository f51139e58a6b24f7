"""The versioned contract between planner, wire, store and job: what a job is asked to do and what came of it."""
