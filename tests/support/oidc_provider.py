"""An OpenID Connect provider as a process: discovery, keys, an authorization page that says yes at once, tokens.

It prints its issuer on stdout. Who signs in is said by the test in `as` of the authorization URL: a JSON object of
claims; `_fault` among them asks for an ID token that is wrong in one way.
"""

import base64
import hashlib
import hmac
import json
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "flow-agent", "provider-secret: with %"
KEY = RSAKey.generate_key(2048, {"kid": "one"})
OTHER = RSAKey.generate_key(2048, {"kid": "one"})
codes: dict[str, dict[str, Any]] = {}


class Provider(BaseHTTPRequestHandler):
    issuer = ""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/.well-known/openid-configuration":
            self.answer(
                {
                    "issuer": self.issuer,
                    "authorization_endpoint": f"{self.issuer}/authorize",
                    "token_endpoint": f"{self.issuer}/token",
                    "jwks_uri": f"{self.issuer}/keys",
                }
            )
        elif parts.path == "/keys":
            self.answer({"keys": [KEY.as_dict(private=False)]})
        elif parts.path == "/authorize":
            self.authorize(dict(parse_qsl(parts.query)))
        else:
            self.answer({"error": "not_found"}, 404)

    def do_POST(self) -> None:
        form = {
            name: values[0]
            for name, values in parse_qs(
                self.rfile.read(int(self.headers["content-length"])).decode()
            ).items()
        }
        code = codes.pop(form.get("code", ""), None)
        basic = base64.b64decode(self.headers.get("authorization", "").partition(" ")[2]).decode()
        name, _, secret = basic.partition(":")
        proof = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        is_client = (unquote(name), unquote(secret)) == (CLIENT, SECRET) or (name, secret) == (CLIENT, SECRET)
        if (
            code is None
            or not is_client
            or proof.rstrip(b"=").decode() != code["code_challenge"]
            or form.get("redirect_uri") != code["redirect_uri"]
        ):
            self.answer({"error": "invalid_grant"}, 400)
        else:
            self.answer({"access_token": "unused", "token_type": "Bearer", "id_token": self.id_token(code)})

    def authorize(self, query: dict[str, str]) -> None:
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT
        code = secrets.token_urlsafe(16)
        codes[code] = query
        back = urlencode({"code": code, "state": query["state"], "iss": self.issuer})
        self.send_response(302)
        self.send_header("Location", f"{query['redirect_uri']}?{back}")
        self.end_headers()

    def id_token(self, query: dict[str, str]) -> str:
        claims = json.loads(query.get("as", "{}"))
        fault = claims.pop("_fault", "")
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": query["nonce"],
            "email_verified": True,
            **claims,
        }
        claims |= {
            "audience": {"aud": "somebody-else"},
            "issuer": {"iss": "https://evil.example"},
            "expired": {"exp": now - 3600},
            "nonce": {"nonce": "another"},
            "azp": {"azp": "somebody-else"},
        }.get(fault, {})
        if fault == "none":
            return encode_parts({"alg": "none"}, claims) + "."
        if fault == "hmac":  # signed with the public key as if it were a shared secret
            text = encode_parts({"alg": "HS256"}, claims)
            digest = hmac.digest(KEY.as_pem(private=False), text.encode(), hashlib.sha256)
            return f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, OTHER if fault == "key" else KEY)

    def answer(self, data: Any, status: int = 200) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def encode_parts(*parts: Any) -> str:
    return ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts
    )


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    Provider.issuer = f"http://127.0.0.1:{server.server_port}"
    print(Provider.issuer, flush=True)  # noqa: T201 - what the test reads
    sys.stdout.close()
    server.serve_forever()
