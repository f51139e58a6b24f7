"""Files of this machine that the command line reads: flow files, their repository, what they call and use."""
