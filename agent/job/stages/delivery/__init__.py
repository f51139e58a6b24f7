"""Records on their way through the graph of a flow: buffers, order, retries, what is settled. Pure: takes time and what is drawn."""
