"""What the command line finds on this machine: flow files, their repository, what they call and use."""
