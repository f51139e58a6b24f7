"""Results of steps that are taken from an equal run of their action: which run that is, and where what it gave is kept."""
