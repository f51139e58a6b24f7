"""Commands of steps to the job: lines of their output, and files that they are given."""
