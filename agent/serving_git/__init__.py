"""The run's code as a git repository that we serve: made of a work tree, carried as bundles, read by git's own protocol.

work tree --`work_tree`--> commit on top of HEAD --`bundle`--> blobs of the server --`object_store`--> repository
                                  '--------------- a local run: borrowed as they are -------------------^
repository --`upload_pack`--> `actions/checkout` and every other git
"""
