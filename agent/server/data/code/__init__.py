"""The code of runs as git repositories, made on demand from the bundles that were uploaded with them.

bundles (blobs) --`stores`: each once a project--> objects, a repository a run --`triggers.serving`: the gate--> `toolkit.git`
"""
