#!/usr/bin/env bash
# A row that moves between partitions is a delete and an insert, also when it is published through the root
#
# With `publish_via_partition_root = true` every change of a partition is published as one of the table that was asked for, and an UPDATE
# that moves a row to another partition is, on that table, an update. Subscribers get a delete and an insert all the same: the log has no
# more than that. A consumer that treats `delete` as the end of an order loses it for a moment, and what was in unchanged large values
# comes whole.
#
# Version: PostgreSQL 16.2 (of the Python package pgserver 0.1.4), the same with 15.18 of Debian 12.
# Source of the guess: PostgreSQL, CREATE PUBLICATION: changes in a partitioned table "will be published using the identity and schema of
# the partitioned table rather than that of the individual partitions that are actually changed".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pgserver==0.1.4 "psycopg[binary]==3.3.9"
cat > "$folder/try.py" <<'PYTHON'
import sys

import pgserver
import psycopg


def run(server, statement):
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


server = pgserver.get_server(sys.argv[1], cleanup_mode="stop")
run(server, "ALTER SYSTEM SET wal_level = 'logical'")
server.cleanup()
server = pgserver.PostgresServer(server.pgdata, cleanup_mode="stop")
for statement in (
    "CREATE TABLE orders (id int, state int, PRIMARY KEY (id, state)) PARTITION BY LIST (state)",
    "CREATE TABLE new PARTITION OF orders FOR VALUES IN (1)",
    "CREATE TABLE paid PARTITION OF orders FOR VALUES IN (2)",
    "CREATE PUBLICATION p FOR TABLE orders WITH (publish_via_partition_root = true)",
    "SELECT pg_create_logical_replication_slot('s', 'pgoutput')",
    "INSERT INTO orders VALUES (7, 1)",
    "UPDATE orders SET state = 2",
):
    run(server, statement)
rows = run(server, "SELECT data FROM pg_logical_slot_get_binary_changes('s', NULL, NULL, 'proto_version', '1', 'publication_names', 'p')")
oids = run(server, "SELECT 'orders'::regclass::oid")
server.cleanup()
messages = [bytes(data) for (data,) in rows if bytes(data)[:1] != b"R"]
kinds = b"".join(message[:1] for message in messages).decode()
assert kinds == "BICBDIC", f"changed: {kinds}"  # Begin, Insert, Commit; Begin, Delete, Insert, Commit: no Update
root = {oid for (oid,) in oids}
assert {int.from_bytes(message[1:5], "big") for message in messages if message[:1] in b"ID"} == root, "changed: not of the root"
print("as seen: D and I of the table `orders`, no U")
PYTHON
"$folder/venv/bin/python" "$folder/try.py" "$folder/data" 2> "$folder/log" || {
    tail -n 3 "$folder/log" >&2
    exit 1
}
