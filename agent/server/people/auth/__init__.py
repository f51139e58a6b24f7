"""Authentication and rights: tokens of people and agents, tokens of jobs, signatures of URLs, and the limit on guessing."""
