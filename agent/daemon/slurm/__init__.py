"""Slurm as the executor of an agent: jobs are handed to `sbatch`, and the same supervisor runs them in their allocation."""
