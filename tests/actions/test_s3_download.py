"""s3-download copies what a bucket has, whole or not at all; its signatures are those of Amazon's own library."""

from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest
from botocore.config import Config
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st
from support.s3 import S3, serve_s3

from .conftest import Done, Step

KEYS = {"access_key": "AKIAEXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG"}


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with serve_s3() as server:
        yield server


@pytest.fixture
def bucket(s3: S3) -> str:
    """The address of a bucket with some objects."""
    address = f"{s3.endpoint}/b-{uuid4().hex}"
    httpx.put(address).raise_for_status()
    for key in (
        "data/a.txt",
        "data/sub/b c+d.txt",
        "data2/c.txt",
        "model",
        "model/weights",
        "marker/",
        "ü/é.txt",
    ):
        httpx.put(f"{address}/{key}", content=f"of {key}").raise_for_status()
    return address


def fetch(step: Step, bucket: str, prefix: str, **more: str) -> Done:
    endpoint, _, name = bucket.rpartition("/")
    step.environment |= {"FLOW_OUTPUTS": str(step.workspace), "FLOW_INPUTS": str(step.workspace)}
    wanted = {"url": f"s3://{name}/{prefix}", "path": "outputs/s3", "endpoint": endpoint, **KEYS, **more}
    return step.run("s3-download", **wanted)


def test_a_folder_of_a_bucket_comes_with_what_lies_in_it_and_nothing_beside_it(
    step: Step, bucket: str
) -> None:
    done = fetch(step, bucket, "data/")
    assert done.code == 0, done.log
    assert step.tree("s3") == {"a.txt": "of data/a.txt", "sub/b c+d.txt": "of data/sub/b c+d.txt"}
    assert done.outputs == {"files": "2"}


def test_without_a_slash_it_is_the_object_of_that_name_else_the_folder(step: Step, bucket: str) -> None:
    assert fetch(step, bucket, "model").code == 0
    assert step.tree("s3") == {"model": "of model"}
    assert fetch(step, bucket, "data", path="outputs/s3/deep").code == 0
    assert set(step.tree("s3/deep")) == {"a.txt", "sub/b c+d.txt"}


def test_a_whole_bucket_comes_over_many_pages(step: Step, s3: S3, bucket: str) -> None:
    address = f"{s3.endpoint}/b-{uuid4().hex}"
    httpx.put(address).raise_for_status()
    with httpx.Client() as client:
        for number in range(1005):  # a page has a thousand
            client.put(f"{address}/{number}", content=b"").raise_for_status()
    done = fetch(step, address, "")
    assert (done.code, done.outputs) == (0, {"files": "1005"})


@pytest.mark.parametrize(
    ("prefix", "more", "error"),
    [
        ("nothing/", {}, "there is nothing at"),
        ("data/", {"path": "outputs/../x"}, "is no folder of the job's data"),
        ("data/", {"path": "elsewhere/x"}, "is no folder of the job's data"),
        ("data/", {"url": "s3://no-such-bucket-at-all/x"}, "can't be read: NoSuchBucket; check the bucket's name"),
        ("data/", {"url": "http://x"}, "is no address of a bucket"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_said_and_leaves_nothing(
    prefix: str, more: dict[str, str], error: str, step: Step, bucket: str
) -> None:
    done = fetch(step, bucket, prefix, **more)
    assert done.code == 1
    assert error in done.error
    assert list(step.workspace.iterdir()) == []


def test_an_object_whose_name_climbs_is_refused(step: Step, bucket: str) -> None:
    httpx.put(f"{bucket}/bad/%2e%2e/%2e%2e/x", content=b"x").raise_for_status()
    done = fetch(step, bucket, "bad/")
    assert done.code == 1
    assert "'../../x' can't be a file here" in done.error


@given(key=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40))
def test_an_address_is_signed_as_amazons_library_signs_it(key: str) -> None:
    from _toolkit.s3 import VALID_SECONDS, Bucket

    if key.strip("/") != key or any(part in (".", "..", "") for part in key.split("/")):
        return  # that library tidies such paths
    client = SESSION.create_client(
        "s3", region_name="eu-west-1", endpoint_url="https://minio.example:9000",
        aws_access_key_id="AKIAEXAMPLE", aws_secret_access_key="wJalr/K7",
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )  # fmt: skip
    theirs = client.generate_presigned_url(
        "get_object", {"Bucket": "bucket", "Key": key}, ExpiresIn=VALID_SECONDS
    )
    said = {name: values[0] for name, values in parse_qs(urlsplit(theirs).query).items()}
    now = datetime.strptime(said["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = Bucket("bucket", "AKIAEXAMPLE", "wJalr/K7", "eu-west-1", "https://minio.example:9000").sign(
        key, now=now
    )
    assert parse_qs(urlsplit(ours).query) == parse_qs(urlsplit(theirs).query)
    assert urlsplit(ours).path == urlsplit(theirs).path


SESSION = Session()
