"""Copy the objects of a bucket whose names begin with a prefix into a folder, whole or not at all."""

import re
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.dont_write_bytecode = True  # an action leaves nothing in its folder
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _toolkit.data_folders import find_data_folder
from _toolkit.folders import move_into, temporary_folder
from _toolkit.http import download
from _toolkit.s3 import Bucket, Item, list_items
from _toolkit.step import StepError, get_input, human, run, say, set_output

AT_ONCE = 8
_URL = re.compile(r"s3://(?P<bucket>[^/\s]+)(?:/(?P<prefix>.*))?")


def main() -> None:
    """All of them beside their place, then moved there."""
    found = _URL.fullmatch(get_input("url"))
    if found is None:
        raise StepError(f"'{get_input('url')}' is no address of a bucket", "as in s3://bucket/folder/")
    bucket = Bucket(
        found["bucket"],
        access_key=get_input("access-key"),
        secret_key=get_input("secret-access-key"),
        region=get_input("region", "us-east-1"),
        endpoint=get_input("endpoint"),
    )
    target = find_data_folder(get_input("path"))
    prefix = found["prefix"] or ""
    items = choose_items(list_items(bucket, prefix), prefix)
    if not items:
        raise StepError(
            f"there is nothing at {get_input('url')}", "check the address; names are case-sensitive"
        )
    with temporary_folder(target) as temporary:
        fetch(bucket, items, temporary / "files")
        move_into(temporary / "files", target)
    set_output("files", str(len(items)))
    say(
        f"{len(items)} objects, {human(sum(item.size_bytes for item in items.values()))}, into {get_input('path')}"
    )


def fetch(bucket: Bucket, items: Mapping[str, Item], folder: Path) -> None:
    """Download the objects to their paths in the folder, several at once; the first that can't be had ends it."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        coming = []
        for name, item in items.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            coming.append(pool.submit(download, bucket.sign(item.key), place))
        try:
            for one in coming:
                one.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def choose_items(items: list[Item], prefix: str) -> dict[str, Item]:
    """Each object that is meant, by the path that it gets: the one of that name, or those in the folder of that name."""
    exact = [item for item in items if item.key == prefix and not prefix.endswith("/")]
    folder = f"{prefix.rstrip('/')}/" if prefix else ""
    inside = {item.key.removeprefix(folder): item for item in items if item.key.startswith(folder)}
    chosen = {prefix.rpartition("/")[2]: exact[0]} if exact else inside
    named = {name: item for name, item in chosen.items() if name and not name.endswith("/")}
    for name in named:
        if any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
            raise StepError(
                f"the object '{name}' can't be a file here", "its name has an empty part, `.` or `..`"
            )
    return named


run(main)
