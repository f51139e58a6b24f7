#!/usr/bin/env bash
# The digest of a tag depends on the Accept header: a list of platforms becomes its linux/amd64 image
#
# A tag names a manifest list. Asked with the type of a single image alone, Distribution 2.8 answers with the list's linux/amd64 image,
# and with that one's digest: a lock that was written so pins one platform, and a comparison with the digest that docker shows fails. Both
# types must be accepted, on every look.
#
# Version: Docker Distribution 2.8.2 (Debian 12, docker-registry 2.8.2+ds1), asked with Python's urllib.
# Source of the rule: Docker Registry HTTP API V2: Docker-Content-Digest is that of the manifest that the tag names
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
IMAGE, LIST = (f"application/vnd.docker.distribution.manifest{rest}.v2+json" for rest in ("", ".list"))
config["mediaType"] = "application/vnd.docker.container.image.v1+json"
layer["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
image = put_manifest("", IMAGE, config=config, layers=[layer])
whole = put_manifest("tag", LIST, manifests=[{**image, "platform": platform}])
seen = [ask("HEAD", f"{URL}/manifests/tag", Accept=kind)[1]["Docker-Content-Digest"] for kind in (LIST, IMAGE)]
assert seen == [whole["digest"], image["digest"]], f"changed: {seen}"
print(f"as seen: {seen[0][:19]} for the list type, {seen[1][:19]} for the image type")
PYTHON
