#!/usr/bin/env bash
# A registry says 404 of a tag that is there when it is asked with Accept: */*, or without one
#
# A tag names an OCI index, as buildx makes one. Distribution 2.8 compares the Accept header word by word and takes no wildcard: asked
# with `*/*` (curl, urllib, most HTTP clients) it answers MANIFEST_UNKNOWN. Who looks whether a tag exists must name the index's media
# type.
#
# Version: Docker Distribution 2.8.2 (Debian 12, docker-registry 2.8.2+ds1), asked with Python's urllib.
# Source of the rule: RFC 9110, 12.5.1: */* matches all types
set -euo pipefail
server=
folder=$(mktemp -d)
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q "docker-registry=2.8.2+ds1*" > /dev/null
dpkg -x docker-registry_*.deb .
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > settings.yml <<SETTINGS
version: 0.1
storage: {filesystem: {rootdirectory: $folder/data}}
http: {addr: 127.0.0.1:$port}
SETTINGS
usr/bin/docker-registry serve settings.yml > log 2>&1 &
server=$!
python3 - "$port" <<'PYTHON'
import hashlib
import json
import sys
import time
import urllib.error
import urllib.request

URL = f"http://127.0.0.1:{sys.argv[1]}/v2/box"


def ask(verb, url, data=None, **headers):
    request = urllib.request.Request(url, data=data, method=verb, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def put_blob(data):
    place = ask("POST", f"{URL}/blobs/uploads/")[1]["Location"]
    ask("PUT", f"{place}&digest={digest(data)}", data, **{"Content-Type": "application/octet-stream"})
    return {"size": len(data), "digest": digest(data)}


def put_manifest(name, kind, **members):
    data = json.dumps({"schemaVersion": 2, "mediaType": kind, **members}).encode()
    status, _ = ask("PUT", f"{URL}/manifests/{name or digest(data)}", data, **{"Content-Type": kind})
    assert status == 201, status
    return {"mediaType": kind, "size": len(data), "digest": digest(data)}


for _ in range(100):
    try:
        ask("GET", f"http://127.0.0.1:{sys.argv[1]}/v2/")
        break
    except urllib.error.URLError:
        time.sleep(0.1)
config = put_blob(json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode())
layer = put_blob(b"a layer")
platform = {"architecture": "amd64", "os": "linux"}
IMAGE, INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
config["mediaType"], layer["mediaType"] = "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar"
image = put_manifest("", IMAGE, config=config, layers=[layer])
put_manifest("tag", INDEX, manifests=[{**image, "platform": platform}])
seen = [ask("HEAD", f"{URL}/manifests/tag", Accept=kind)[0] for kind in ("*/*", IMAGE, INDEX)]
assert seen == [404, 404, 200], f"changed: {seen}"
print("as seen: 404 for */*, 404 for the image type, 200 for the index type")
PYTHON
