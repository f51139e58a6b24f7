#!/usr/bin/env bash
# moto takes an object whose bytes are not those of its Content-MD5 or x-amz-checksum-sha256
#
# S3 refuses such an upload (BadDigest, XAmzContentChecksumMismatch). moto stores it and answers 200, so that a test of an upload
# that was damaged on the way passes whether or not the client sends a checksum at all.
#
# Version: moto 5.2.5 (server), boto3 1.44.8, Python 3.11.
# Source of the rule: Amazon S3 API, PutObject, Content-MD5 and checksum headers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "moto[server,s3]==5.2.5" boto3==1.44.8
cat > "$folder/try.py" <<'PYTHON'
import os

import boto3
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

os.environ.update(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b", AWS_DEFAULT_REGION="us-east-1")
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
host, port = server.get_host_and_port()
s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
s3.create_bucket(Bucket="bucket")
import base64
import hashlib

other = b"other bytes"
s3.put_object(
    Bucket="bucket", Key="a", Body=b"bytes", ContentMD5=base64.b64encode(hashlib.md5(other).digest()).decode()
)
s3.put_object(
    Bucket="bucket", Key="b", Body=b"bytes", ChecksumSHA256=base64.b64encode(hashlib.sha256(other).digest()).decode()
)
stored = [s3.get_object(Bucket="bucket", Key=key)["Body"].read() for key in "ab"]
assert stored == [b"bytes", b"bytes"], f"changed: {stored}"
print("as seen: both were stored, under checksums of other bytes", flush=True)
os._exit(0)
PYTHON
"$folder/venv/bin/python" "$folder/try.py" 2> "$folder/log" || {
    tail -n 3 "$folder/log" >&2
    exit 1
}
