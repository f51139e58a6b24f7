"""What a process of a distributed training finds in its environment; all of them meet at the first one's address."""

import os
import socket
import sys

rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
names = ("RANK", "LOCAL_RANK", "GROUP_RANK", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "WORLD_SIZE")
place = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == 0:
    with socket.create_server(("", place[1])) as server:
        heard = {0}
        while len(heard) < size:
            with server.accept()[0] as other:
                heard.add(int(other.makefile().readline()))
    print("> met", sorted(heard), sys.argv[1:])
else:
    while True:
        try:
            with socket.create_connection(place, 60) as first:
                first.sendall(f"{rank}\n".encode())
                break
        except ConnectionRefusedError:  # the first one is not there yet
            continue
print(">", " ".join(f"{name}={os.environ[name]}" for name in names))
