#!/usr/bin/env bash
# moto answers 200 to a presigned URL whose time is over
#
# A presigned URL of one second is served after two, and after any time: neither X-Amz-Expires nor the signature is looked at. A
# test that links of artifacts end proves nothing on it.
#
# Version: moto 5.2.5 (server), boto3 1.44.8, Python 3.11.
# Source of the rule: Amazon S3, sharing objects with presigned URLs: 403 once expired.
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
import time
import urllib.request

s3.put_object(Bucket="bucket", Key="a", Body=b"bytes")
url = s3.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "a"}, ExpiresIn=1)
time.sleep(2.5)
with urllib.request.urlopen(url) as answer:
    status = answer.status
assert status == 200, f"changed: {status}"
print("as seen: 200, a second and a half after the end", flush=True)
os._exit(0)
PYTHON
"$folder/venv/bin/python" "$folder/try.py" 2> "$folder/log" || {
    tail -n 3 "$folder/log" >&2
    exit 1
}
