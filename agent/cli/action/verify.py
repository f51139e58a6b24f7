"""`agent action verify`: where flows, flow.lock and the world differ, in words."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from agent.cli.action.images import Image, is_settled, list_images, look_up_digests
from agent.cli.local_files.uses import Context, group_by_folder, list_lines, open_resolver, read_flows
from agent.cli.terminal.tables import plain, print_json
from agent.errors import AgentError, NotFoundError
from agent.resolve import Pins, RepositoryReference, Resolver, UrlReference, parse_reference
from agent.resolve.lock import FILE_NAME, Lock, read_lock
from agent.resolve.uses import walk_uses


def verify_flows(
    files: Sequence[Path], context: Context, output_format: str, out: TextIO, *, is_offline: bool
) -> int:
    """Print each difference; 1 when there is one, else 0. With `is_offline` refs are not asked whether they moved.

    Raises UsageError when a flow or a lock is not valid.
    """
    groups = group_by_folder(files)
    found = {
        folder / FILE_NAME: list(_compare(folder, names, context, is_offline=is_offline))
        for folder, names in groups.items()
    }
    if output_format == "json":
        print_json([{"lock": str(file), "differences": said} for file, said in found.items()], out)
    else:
        out.writelines(
            "".join(f"{plain(line)}\n" for line in differences or [f"{file}: all is as it was locked"])
            for file, differences in found.items()
        )
    return 1 if any(found.values()) else 0


def _compare(folder: Path, names: Sequence[str], context: Context, *, is_offline: bool) -> Iterator[str]:
    file = folder / FILE_NAME
    if not file.exists():
        yield f"{file}: there is no lock file"
        return
    lock = read_lock(file)
    for name in sorted({*names} - {*lock.flows}):
        yield f"{folder / name}: the lock was not made for this flow (`agent action lock` adds it)"
    gone = [name for name in lock.flows if not (folder / name).exists()]
    for name in gone:
        yield f"{file}: the flow '{name}' is not there any more"
    flows = sorted({*lock.flows, *names} - {*gone})
    used: set[str] = set()
    with open_resolver(folder, context, Pins(lock.pins, warns=False)) as resolver:
        read, calls = read_flows(folder, flows, context, resolver)
        uses = [*calls, *walk_uses(list_lines(read), resolver)]
        images = list_images([flow for _, flow in read], uses)
        for use in uses:
            if use.key and use.found:
                used.add(use.key)
                if use.key not in lock.actions:
                    yield f"{use.place}: '{use.key}' is not pinned"
            if use.problem and not use.is_later:
                used.add(use.key)
                yield f"{use.place}: {use.problem}"
        for key in sorted({*lock.actions} - used):
            yield f"{file}: '{key}' is pinned, but nothing uses it"
        if not is_offline:
            yield from _find_moved(file, lock, used, resolver)
    yield from _compare_images(file, lock, images, is_offline=is_offline)


def _compare_images(file: Path, lock: Lock, images: Sequence[Image], *, is_offline: bool) -> Iterator[str]:
    used = {image for image, _ in images}
    for image, place in images:
        if is_settled(image) and image not in lock.images:
            yield f"{place}: the image '{image}' is not pinned"
    for image in sorted({*lock.images} - used):
        yield f"{file}: the image '{image}' is pinned, but nothing uses it"
    if is_offline:
        return
    for image, digest in look_up_digests(used & {*lock.images}).items():
        if isinstance(digest, AgentError):
            yield f"{file}: the image '{image}' can't be looked up: {digest}"
        elif digest != lock.images[image]:
            yield f"{file}: the image '{image}' has moved: it was {lock.images[image]} when it was locked, and is {digest} now"


def _find_moved(file: Path, lock: Lock, used: set[str], resolver: Resolver) -> Iterator[str]:
    """The pins whose refs are something else now."""
    for key, pin in sorted(lock.actions.items()):
        reference = parse_reference(key)
        assert isinstance(reference, RepositoryReference | UrlReference)  # the lock's reader sees to it
        if key not in used:
            continue
        try:
            commit, url = resolver.look_up(reference)
        except NotFoundError:
            yield f"{file}: '{key}' is pinned to {pin.commit}, and is not there any more"
        except AgentError as error:
            yield f"{file}: '{key}' can't be looked up: {error}"
        else:
            if commit != pin.commit:
                yield f"{file}: '{key}' has moved: it was {pin.commit} when it was locked, and is {commit} now at {url}"
