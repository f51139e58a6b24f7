"""Apps of jobs for browsers: served on origins of their own, under this server's listener, and never among its pages.

`front` tells them apart by their host; `visits` says who comes; `http` and `sockets` pass on what they ask for; `channels`
carry the bytes to the job's machine.
"""
