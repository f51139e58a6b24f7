"""A job's samples: what its processes and its GPUs do, each second, as records of its journal; what each step used, and what was wasted.

It never disturbs the job: what can't be had is left out, what takes long is asked for less often, and what goes wrong ends the samples only.
"""
