"""How a step speaks to the job: lines of its output, and files that it is given."""
