"""Requests of odd clients: they hang up at any point, name odd hosts, give odd URLs. None is a traceback or a status 500."""

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server.toolkit_job import Job
from server.vocabulary import ServerProcess
from support.s3 import S3

Servers = Callable[..., ServerProcess]
ODD_URLS = st.one_of(
    st.sampled_from(
        ["http://[::1", "http://[::1]:99999/a/b", "https://host:99999/a/b", "https://host:0/a/b", "//[", ""]
    ),
    st.builds(
        "{}://{}{}".format,
        st.sampled_from(["http", "https", "ssh", "file"]),
        st.text("[]:@%.1af/?#-x"),
        st.text("/a[:"),
    ),
)


@pytest.mark.store("sqlite")
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=60,
    deadline=None,
)
@given(url=ODD_URLS, field=st.sampled_from(["url", "api_url"]))
def test_an_odd_url_of_a_repository_is_refused_in_words(server: ServerProcess, url: str, field: str) -> None:
    good = {"name": "a/b", "provider": "gitea", "url": "https://127.0.0.1/a/b", "default_branch": "main"}
    answer = server.api.post("/repositories", json={**good, field: url})
    assert answer.status_code in (201, 400, 403, 409, 422), answer.text


def hang_up(server: ServerProcess, *parts: bytes, reads: int = 0) -> None:
    """Send `parts`, take in so many bytes, and be gone; without a good-bye."""
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        for part in parts:
            connection.sendall(part)
        if reads:
            connection.recv(reads)


def head(server: ServerProcess, line: str, *more: str) -> bytes:
    lines = [f"{line} HTTP/1.1", f"Host: {urlsplit(server.url).netloc}", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.store("sqlite")
def test_an_upload_to_a_bucket_that_is_cut_off_is_no_traceback(make_server: Servers, s3: S3) -> None:
    server = make_server(blobs_url=s3.blobs_url("&direct=no"))
    job = Job(server)
    for name, size in (("small", 1000), ("large", 20 << 20)):
        upload = urlsplit(job.create(name))
        line = head(
            server,
            f"PUT {upload.path}?{upload.query}",
            f"Content-Length: {size + 1}",
            "x-ms-blob-type: BlockBlob",
        )
        hang_up(server, line, b"x" * size)
    job.end()
    server.stop()
    assert "Traceback" not in server.log.read_text()


def test_a_client_that_hangs_up_is_no_traceback(make_server: Servers) -> None:
    server = make_server()
    admin = f"Authorization: Bearer {server.token}"
    job = Job(server)
    own = f"Authorization: Bearer {job.token}"
    upload = urlsplit(job.create("half"))
    cut = ("Content-Length: 1000", "Content-Type: application/json")
    targets = [
        ("POST /api/v1/runs", admin),
        (f"PUT /api/v1/runs/{job.run}/artifacts/by-hand", admin),
        ("POST /twirp/github.actions.results.api.v1.ArtifactService/CreateArtifact", own),
        (f"PUT {upload.path}?{upload.query}", "x-ms-blob-type: BlockBlob"),
        ("POST /hooks/github/repo_x", "X-GitHub-Event: push"),
        ("POST /api/v1/agents/register", "X-Nothing: 1"),
        ("POST /login", "X-Nothing: 1"),
        ("PUT /api/v1/snapshots/sha256:" + "0" * 64, admin),
    ]
    for line, header in targets:
        hang_up(server, head(server, line, header, *cut))
        hang_up(server, head(server, line, header, *cut), b'{"flow":')
    job.upload("large", b"x" * (8 << 20))
    signed = urlsplit(job.call("GetSignedArtifactURL", name="large").json()["signed_url"])
    hang_up(server, head(server, f"GET {signed.path}?{signed.query}"), reads=1000)
    hang_up(server, head(server, f"GET {signed.path}?{signed.query}"))
    hang_up(server, head(server, "GET /api/v1/runs?limit=1", admin))
    hang_up(server, head(server, f"GET /api/v1/runs/{job.run}/events", admin), reads=10)
    hang_up(server, b"GET / HT")
    upgrade = (
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {'A' * 22}==",
    )
    hang_up(server, head(server, "GET /api/v1/agent", *upgrade))
    hang_up(server, head(server, "GET /api/v1/agent", *upgrade), reads=10)
    job.end()
    assert server.http.get("/readyz").status_code == 200
    server.stop()
    told = server.log.read_text()
    assert "Traceback" not in told, told[told.index("Traceback") - 500 :][:3000]
    assert "CreateArtifact" in told
