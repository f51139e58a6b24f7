"""`agent action lock` and `update`: flow.lock is written, and what changed in it is shown."""

import os
import sys
import tempfile
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from agent.cli.action.images import Image, is_settled, list_images, look_up_digests
from agent.cli.local_files.uses import Context, group_by_folder, list_lines, open_resolver, read_flows, warn
from agent.cli.terminal.tables import plain, print_json, print_table
from agent.errors import AgentError, NotFoundError, UnreachableError, UsageError
from agent.resolve import Pins
from agent.resolve.lock import FILE_NAME, Lock, Pin, format_lock, read_lock
from agent.resolve.pins import IMAGE_PREFIX
from agent.resolve.uses import Use, walk_uses

_SHOWN = 12  # digits of a commit


@dataclass(frozen=True, slots=True)
class LockChange:
    """What has happened to one pin."""

    change: str  # added, moved, removed
    uses: str
    was: str
    commit: str  # or an image's digest
    url: str


def lock_flows(files: Sequence[Path], context: Context, output_format: str, out: TextIO) -> int:
    """Pin what `files` use and nobody has pinned yet; drop pins that no flow of the lock uses any more.

    Raises UsageError for a flow or lock that is not valid, and AgentError, with nothing written, when an action
    can't be found.
    """
    made = []
    for folder, names in group_by_folder(files).items():
        file = folder / FILE_NAME
        old = read_lock(file) if file.exists() else Lock()
        flows = sorted({*_existing(folder, old.flows), *names})
        made.append((file, old, _make_lock(folder, flows, old, old, context)))
    return _show([_write(*each) for each in made], output_format, out)


def update_pins(file: Path, names: Sequence[str], context: Context, output_format: str, out: TextIO) -> int:
    """Move the pins in `file` that `names` name (all, without any) to what their refs are now.

    Raises NotFoundError for a lock that isn't there and for a name that it doesn't hold, UsageError for a flow, and what
    `lock_flows` raises.
    """
    _refuse_flows(names)
    if not file.exists():
        raise NotFoundError(
            "there is no lock file", where=str(file), hint="`agent action lock FLOW` makes one"
        )
    old = read_lock(file)
    moving = {key for name in names for key in _named(name, old, file)} if names else set(old.pins)
    kept = Lock(
        actions={key: pin for key, pin in old.actions.items() if key not in moving},
        images={name: digest for name, digest in old.images.items() if f"{IMAGE_PREFIX}{name}" not in moving},
    )
    flows = _existing(file.parent, old.flows)
    return _show([_write(file, old, _make_lock(file.parent, flows, old, kept, context))], output_format, out)


def _refuse_flows(names: Sequence[str]) -> None:
    """A flow's file among the names is what its lock is made of, and no pin."""
    for name in names:
        flow = Path(name)
        if flow.suffix in (".yml", ".yaml") and flow.is_file():
            lock = flow.parent / FILE_NAME
            all_of_it = "agent action update" + ("" if lock == Path(FILE_NAME) else f" --lock {lock}")
            hint = f"`{all_of_it}` moves all pins of the flows beside it; `agent action lock {name}` adds what is new"
            raise UsageError(f"'{name}' is a flow, and no name of a pin", where=str(lock), hint=hint)


def _existing(folder: Path, flows: Sequence[str]) -> list[str]:
    return [name for name in flows if (folder / name).exists()]


def _named(name: str, lock: Lock, file: Path) -> list[str]:
    """The keys that `name` means: one, all refs of a repository, or all tags of an image."""
    found = [key for key in lock.pins if name in _names_of(key)]
    if not found:
        hint = f"it pins {', '.join(sorted(lock.pins)[:10]) or 'nothing'}"
        raise NotFoundError(f"the lock has no pin {name!a}", where=str(file), hint=hint)
    return found


def _names_of(key: str) -> tuple[str, ...]:
    if key.startswith(IMAGE_PREFIX):
        image = key.removeprefix(IMAGE_PREFIX)
        head, slash, last = image.rpartition("/")
        return key, image, head + slash + last.partition(":")[0]
    return key, key.rpartition("@")[0].removesuffix("//")


def _make_lock(folder: Path, flows: Sequence[str], old: Lock, kept: Lock, context: Context) -> Lock:
    """The lock of `flows`: what is `kept` of the `old` one as it is, the rest as it is now."""
    pins = Pins({key: pin.commit for key, pin in kept.actions.items()}, warns=False)
    with open_resolver(folder, context, pins) as resolver:
        read, calls = read_flows(folder, flows, context, resolver)
        uses = [*calls, *walk_uses(list_lines(read), resolver)]
        images = list_images([flow for _, flow in read], uses)
    found = look_up_digests(image for image, _ in images if is_settled(image) and image not in kept.images)
    _report(uses, images, found, old.images)
    actions = {
        use.key: kept.actions.get(use.key) or Pin(use.found.commit, use.found.origin)
        for use in uses
        if use.key and use.found
    }
    digests = {**kept.images, **{image: digest for image, digest in found.items() if isinstance(digest, str)}}
    used = {image for image, _ in images}
    return Lock(tuple(flows), actions, {name: digest for name, digest in digests.items() if name in used})


def _report(
    uses: Sequence[Use],
    images: Sequence[Image],
    found: Mapping[str, str | AgentError],
    pinned: Container[str],
) -> None:
    """Show what could not be pinned. Raises AgentError when that is more than what comes later, or would lose a pin."""
    for use in uses:
        if use.is_later:
            warn(f"{use.place}: '{use.text}' is not here (yet?): what it uses is not pinned")
        for warning in use.found.warnings if use.found else ():
            warn(f"{use.place}: {warning}")
    failed = [(use.place, use.problem) for use in uses if use.problem and not use.is_later]
    for image, place in images:
        problem = found.get(image)
        if not is_settled(image):
            warn(f"{place}: the image '{image}' is known when the job runs: it is not pinned")
        elif isinstance(problem, UnreachableError) and image not in pinned:
            warn(f"{place}: the image '{image}' is not pinned: {problem}")
        elif isinstance(problem, AgentError):
            failed.append((place, problem))
    for place, problem in dict.fromkeys(failed):
        sys.stderr.write(plain(f"{place}: {problem}") + "\n")
    if failed:
        what = "one action or image" if len(failed) == 1 else f"{len(failed)} actions and images"
        raise AgentError(f"{what} can't be pinned", hint="the lock file is as it was")


def _write(file: Path, old: Lock, new: Lock) -> tuple[Path, Lock, list[LockChange]]:
    if new != old or not file.exists():
        _replace(file, format_lock(new))
    return file, new, _compare(old, new)


def _replace(file: Path, text: str) -> None:
    """Write `file` in one step: who reads it sees the old or the new."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                os.fchmod(handle, 0o644)
            Path(name).replace(file)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise AgentError(f"the lock file can't be written: {error.strerror}", where=str(file)) from None


def _compare(old: Lock, new: Lock) -> list[LockChange]:
    changes = []
    for key in sorted({*old.pins, *new.pins}):
        before, after = old.pins.get(key, ""), new.pins.get(key, "")
        pin = new.actions.get(key) or old.actions.get(key)
        url = pin.url if pin else ""
        if before != after:
            what = "moved" if before and after else "added" if after else "removed"
            changes.append(LockChange(what, key, before, after, url))
    return changes


def _show(locks: Sequence[tuple[Path, Lock, list[LockChange]]], output_format: str, out: TextIO) -> int:
    if output_format == "json":
        data = [
            {"lock": str(file), "pins": lock.pins, "changes": [asdict(change) for change in changes]}
            for file, lock, changes in locks
        ]
        print_json(data, out)
        return 0
    for file, lock, changes in locks:
        if changes:
            rows = [
                (change.change, change.uses, _shorten(change.was), _shorten(change.commit), change.url)
                for change in changes
            ]
            print_table(["change", "uses", "was", "is", "at"], rows, out)
        count = len(lock.pins)
        out.write(f"{file}: {count} pin{'' if count == 1 else 's'}{'' if changes else ', nothing changed'}\n")
    return 0


def _shorten(pin: str) -> str:
    return pin.removeprefix("sha256:")[:_SHOWN]
