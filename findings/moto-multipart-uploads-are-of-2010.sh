#!/usr/bin/env bash
# moto says of every multipart upload that it was begun in 2010
#
# ListMultipartUploads gives `Initiated` 2010-11-10 for an upload that was begun a moment ago. A sweeper that aborts uploads older
# than a day takes those away that are under way: on moto alone, and only there.
#
# Version: moto 5.2.5 (server), boto3 1.44.8, Python 3.11.
# Source of the rule: Amazon S3 API, ListMultipartUploads, Initiated.
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

s3.create_multipart_upload(Bucket="bucket", Key="a")
(upload,) = s3.list_multipart_uploads(Bucket="bucket")["Uploads"]
assert upload["Initiated"].year == 2010, f"changed: {upload['Initiated']}"
print(f"as seen: Initiated {upload['Initiated']:%Y-%m-%d} for an upload of this moment", flush=True)
os._exit(0)
PYTHON
"$folder/venv/bin/python" "$folder/try.py" 2> "$folder/log" || {
    tail -n 3 "$folder/log" >&2
    exit 1
}
