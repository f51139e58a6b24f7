#!/usr/bin/env bash
# moto copies over an object in spite of If-None-Match, which it heeds for PutObject and CompleteMultipartUpload
#
# CopyObject with `If-None-Match: *` fails with 412 at S3 when the destination exists. moto overwrites it. Create-once by copy
# (a temporary key that is moved into its place) seems safe on moto for puts and is not tested for copies.
#
# Version: moto 5.2.5 (server), boto3 1.44.8, Python 3.11.
# Source of the rule: Amazon S3 API, CopyObject, If-None-Match (conditional writes).
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

s3.put_object(Bucket="bucket", Key="there", Body=b"first")
s3.put_object(Bucket="bucket", Key="new", Body=b"second")
try:
    s3.put_object(Bucket="bucket", Key="there", Body=b"x", IfNoneMatch="*")
except ClientError as error:
    put = error.response["Error"]["Code"]
s3.copy_object(Bucket="bucket", Key="there", CopySource="bucket/new", IfNoneMatch="*")
left = s3.get_object(Bucket="bucket", Key="there")["Body"].read()
assert (put, left) == ("PreconditionFailed", b"second"), f"changed: {put} {left!r}"
print("as seen: PutObject answers PreconditionFailed, CopyObject overwrites", flush=True)
os._exit(0)
PYTHON
"$folder/venv/bin/python" "$folder/try.py" 2> "$folder/log" || {
    tail -n 3 "$folder/log" >&2
    exit 1
}
