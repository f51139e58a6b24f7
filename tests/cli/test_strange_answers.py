"""What stands at the server's address, or between: each is a sentence, never a bare number, a bug or a traceback."""

import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest
from support.commands import clients_closed
from support.other_servers import other_server

from agent.cli.main import run_command

JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AGENT_TOKEN", "fa_api_x")
    with clients_closed():
        yield


def say(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = run_command(words)
    heard = capsys.readouterr()
    assert heard.err.startswith("agent: ")
    assert "a bug in the agent" not in heard.err
    return code, heard.err


COMMANDS = (["login"], ["run", "list"], ["register", "--token", "t"])


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("status", "body", "headers", "said"),
    [
        (200, b"<html>hello</html>", {}, "not a flow-agent server"),
        (200, b"[]", JSON, "not a flow-agent server"),
        (200, b"{}", JSON, "not a flow-agent server"),
        (200, b"", {}, "not a flow-agent server"),
        (
            302,
            b"",
            {"Location": "https://sso.example.org/login"},
            "elsewhere, to https://sso.example.org/login",
        ),
        (403, b"<html>no</html>", {}, "in front of the server refuses (HTTP 403 Forbidden)"),
        (404, b"<html>no</html>", {}, "not a flow-agent server (HTTP 404 Not Found)"),
        (502, b"<html>no</html>", {}, "the server behind it does not (HTTP 502 Bad Gateway)"),
    ],
)
def test_a_strange_answer_is_a_sentence(
    words: list[str],
    status: int,
    body: bytes,
    headers: dict[str, str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AGENT_STATE", str(tmp_path))
    with other_server(status, body, headers) as url:
        code, heard = say(capsys, *words, "--url", url)
    assert code == 1
    assert said in heard
    assert url in heard


def test_a_server_that_is_down_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with other_server() as url:
        pass
    code, heard = say(capsys, "run", "list", "--url", url)
    assert code == 1
    assert (
        f"the server can't be reached: Connection refused ({url}); is `agent server` running there?" in heard
    )


@pytest.mark.parametrize("url", ["http://[bad", "http://host:port", "http://a..b", "http://"])
def test_what_is_no_address_is_wrong_use(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _heard = say(capsys, "run", "list", "--url", url)
    assert code in (1, 2)


@pytest.mark.parametrize("token", ["fa_api_ü", "two words", "a\nb"])
def test_what_is_no_token_is_wrong_use(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, heard = say(capsys, "run", "list", "--url", "http://127.0.0.1:9", "--token", token)
    assert (code, "no access token" in heard) == (2, True)
    assert token not in heard


def test_a_proxy_that_does_not_exist_as_such_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "ftp://proxy")
    code, heard = say(capsys, "run", "list", "--url", "http://flows.example.org")
    assert (code, "HTTP_PROXY" in heard) == (2, True)


def test_a_file_of_certificates_that_is_not_there_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    code, heard = say(capsys, "run", "list", "--url", "https://127.0.0.1:9")
    assert code in (1, 2)
    assert "bug" not in heard


@pytest.fixture
def self_signed(tmp_path: Path) -> Iterator[str]:
    """A server with a certificate that nobody vouches for."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"https://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_certificate_that_is_not_trusted_is_said(
    words: list[str],
    self_signed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AGENT_STATE", str(tmp_path / "state"))
    code, heard = say(capsys, *words, "--url", self_signed)
    assert code == 1
    assert "certificate is not trusted: self-signed certificate" in heard
    assert "SSL_CERT_FILE" in heard


def test_tls_where_there_is_none_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with other_server() as url:
        _code, heard = say(capsys, "run", "list", "--url", url.replace("http:", "https:"))
    assert "there is no TLS at this address" in heard
