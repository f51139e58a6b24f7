"""Programs that do a stage's work: kept up, given batches of records, started again when they end.

`speech` is how one is spoken to, `kept` one that runs, `worker` what becomes of a batch whatever happens to it, `pool` the stage
made of them. What they run with is the job's (`job_programs`).
"""
