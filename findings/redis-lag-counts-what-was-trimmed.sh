#!/usr/bin/env bash
# The lag of a Redis consumer group counts trimmed entries for ever
#
# Six entries, a group reads two, XTRIM keeps the last two, the group reads them and acknowledges all: there is nothing left to read,
# and XINFO GROUPS says `lag 2`. It stays so with everything that is added and read later. An alarm on `lag > 0`, or a scaler that
# adds consumers by it, never rests after one trim that took unread entries. (`entries-read` counts what was delivered, not how far
# the group is.) It can be put to use: at the stream's end, what is left of `lag` is what was lost.
#
# Version: Redis 7.0.15 (Debian 12's redis-server 5:7.0.15-1~deb12u10), redis-py 8.1.0.
# Source of the rule: Redis, XINFO GROUPS: lag is "the number of entries in the stream that are still waiting to be delivered".
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "$(cat "$folder/pid" 2>/dev/null)" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q redis==8.1.0
(cd "$folder" && apt-get -qq -o APT::Sandbox::User=root download redis-tools=5:7.0.15-1~deb12u10 liblzf1 libjemalloc2 && for file in ./*.deb; do dpkg -x "$file" root; done)
LD_LIBRARY_PATH=$(echo "$folder"/root/usr/lib/*-linux-gnu) "$folder/root/usr/bin/redis-check-aof" --version > "$folder/version" 2>&1 || true
server=$(find "$folder/root" -name redis-check-rdb)
cp "$server" "$folder/redis-server" # one program, by the name that it is called by
LD_LIBRARY_PATH=$(echo "$folder"/root/usr/lib/*-linux-gnu) "$folder/redis-server" --port 0 --unixsocket "$folder/socket" --save "" \
    --dir "$folder" --pidfile "$folder/pid" --daemonize yes > /dev/null
cat > "$folder/try.py" <<'PYTHON'
import sys
import time
from pathlib import Path

import redis

while not Path(sys.argv[1]).exists():
    time.sleep(0.05)
client = redis.Redis(unix_socket_path=sys.argv[1], protocol=2)
assert client.info()["redis_version"] == "7.0.15"
client.xgroup_create("stream", "group", id="0", mkstream=True)


def read(count):
    for _, entries in client.xreadgroup("group", "consumer", {"stream": ">"}, count=count):
        client.xack("stream", "group", *(entry for entry, _ in entries))


def lag():
    return client.xinfo_groups("stream")[0]["lag"]


for number in range(6):
    client.xadd("stream", {"n": number})
read(2)
client.xtrim("stream", maxlen=2, approximate=False)
read(10)
assert not client.xreadgroup("group", "consumer", {"stream": ">"}), "there is more to read"
assert lag() == 2, f"changed: lag {lag()} after all was read"
for number in range(3):
    client.xadd("stream", {"n": number})
read(10)
assert lag() == 2, f"changed: lag {lag()} later"
print("as seen: nothing is left to read, and the lag is 2, then and later")
PYTHON
"$folder/venv/bin/python" "$folder/try.py" "$folder/socket"
