"""A bucket of an S3 service, read: its objects listed, and signed addresses that `http` downloads from.

An address carries its permission in its query, so that a download that breaks off goes on by the same one.
Source: Amazon S3 API Reference, *Authenticating Requests: Using Query Parameters (AWS Signature Version 4)*, *ListObjectsV2*.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree as ET

from _toolkit.http import HttpError, request
from _toolkit.step import StepError

VALID_SECONDS = 7 * 24 * 3600  # the most that a service takes: a large download may wait behind others
_ALGORITHM = "AWS4-HMAC-SHA256"
_MOST_ITEMS = 1_000_000
_REGION = re.compile(rb"<Region>([a-z0-9-]+)</Region>")


@dataclass(frozen=True, slots=True)
class Item:
    """An object."""

    key: str
    size_bytes: int


@dataclass(frozen=True)
class Bucket:
    """A bucket, and who asks for it."""

    name: str
    access_key: str
    secret_key: str
    region: str
    endpoint: str = ""  # empty: Amazon's of that region

    def sign(self, key: str = "", query: dict[str, str] | None = None, now: datetime | None = None) -> str:
        """The address at which an object (without a key: the bucket) can be read for a week. `now`: in UTC."""
        moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        base = urlsplit(self.endpoint or f"https://s3.{self.region}.amazonaws.com")
        if base.scheme not in {"http", "https"} or not base.netloc:
            raise StepError(
                f"'{self.endpoint}' is no address of a server", "as in https://minio.example:9000"
            )
        path = f"{base.path.rstrip('/')}/{self.name}{f'/{key}' if key else ''}"
        scope = f"{moment[:8]}/{self.region}/s3/aws4_request"
        asked = {
            **(query or {}),
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{self.access_key}/{scope}",
            "X-Amz-Date": moment,
            "X-Amz-Expires": str(VALID_SECONDS),
            "X-Amz-SignedHeaders": "host",
        }
        written = "&".join(f"{_quote(name)}={_quote(value)}" for name, value in sorted(asked.items()))
        quoted = quote(path, safe="/-_.~")
        canonical = f"GET\n{quoted}\n{written}\nhost:{base.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        signature = self._make_signature(scope, f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}")
        return f"{base.scheme}://{base.netloc}{quoted}?{written}&X-Amz-Signature={signature}"

    def _make_signature(self, scope: str, text: str) -> str:
        word = f"AWS4{self.secret_key}".encode()
        for part in (*scope.split("/"), text):
            word = hmac.new(word, part.encode(), hashlib.sha256).digest()
        return word.hex()


def list_items(bucket: Bucket, prefix: str) -> list[Item]:
    """All objects whose names begin with `prefix`. A bucket of another region is asked there."""
    try:
        return _list(bucket, prefix)
    except HttpError as error:
        elsewhere = _REGION.search(error.body)
        if elsewhere is None or bucket.endpoint or elsewhere[1].decode() == bucket.region:
            raise _explain(bucket, error) from None
        return _list(replace(bucket, region=elsewhere[1].decode()), prefix)


def _list(bucket: Bucket, prefix: str) -> list[Item]:
    items: list[Item] = []
    token = ""
    while True:
        query = {"list-type": "2", "prefix": prefix, **({"continuation-token": token} if token else {})}
        root = ET.fromstring(request("GET", bucket.sign(query=query)).body)  # noqa: S314 - Python's expat knows the attacks by entities
        space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
        for found in root.iter(f"{space}Contents"):
            size = found.findtext(f"{space}Size") or "0"
            items.append(Item(found.findtext(f"{space}Key") or "", int(size)))
        token = root.findtext(f"{space}NextContinuationToken") or ""
        if not token:
            return items
        if len(items) > _MOST_ITEMS:
            raise StepError(f"more than {_MOST_ITEMS} objects begin with '{prefix}'", "name a folder")


def _explain(bucket: Bucket, error: HttpError) -> StepError:
    said = re.search(rb"<Code>([A-Za-z]+)</Code>", error.body)
    code = said[1].decode() if said else str(error.status)
    hints = {
        "NoSuchBucket": "check the bucket's name, and `endpoint`",
        "InvalidAccessKeyId": "check `access-key`",
        "SignatureDoesNotMatch": "check `secret-access-key`",
        "AccessDenied": "the key may not list this bucket",
    }
    return StepError(f"the bucket '{bucket.name}' can't be read: {code}", hints.get(code, ""))


def _quote(text: str) -> str:
    return quote(text, safe="-_.~")
