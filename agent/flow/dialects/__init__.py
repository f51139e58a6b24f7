"""A front end for each flow language; only `agent.flow.load` knows them."""
