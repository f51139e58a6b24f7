"""The rules about images and containers in the policy file of the machine's owner. docs/policy.md shows them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from agent.containers.policy import FLAGS, ContainerPolicy
from agent.errors import UsageError
from agent.policy import Rules, expect_keys, read_flag, read_policy_file, read_texts

_IMAGES = ("allow", "deny", "local", "require_pins")
_LISTS = {"mounts": "mount", "devices": "device", "capabilities": "cap", "runtimes": "runtime"}
_CONTAINERS = ("allow", "deny_options", "users", "dockerfiles", *_LISTS)


def load_container_policy(
    file: Path | Rules | None, words: Iterable[str] = (), *, must_exist: bool = False
) -> ContainerPolicy:
    """What `file` says, where there is one, and beside it what `words` grant.

    Raises UsageError for a file or a word that is not understood, and for a missing file that `must_exist`.
    """
    data = read_policy_file(file, must_exist=must_exist)
    if data is None:
        return ContainerPolicy.parse(words)
    images, containers = data.get("images", {}), data.get("containers", {})
    expect_keys(images, _IMAGES, f"{file}: images")
    expect_keys(containers, _CONTAINERS, f"{file}: containers")
    allowed = read_texts(images, "allow", f"{file}: images", '["python:*", "registry.example.org/*"]')
    granted = [
        *words,
        *(f"image:{pattern}" for pattern in allowed or ()),
        *(
            f"local-image:{pattern}"
            for pattern in read_texts(images, "local", f"{file}: images", '["acme/*"]') or ()
        ),
        *_read_grants(containers, f"{file}: containers"),
    ]
    return replace(
        ContainerPolicy.parse(granted),
        file=str(file),
        limits_images=allowed is not None,
        denied_images=read_texts(images, "deny", f"{file}: images", '["*:latest"]') or (),
        requires_pins=read_flag(images, "require_pins", f"{file}: images", default=False),
        denied_options=_read_options(containers, f"{file}: containers"),
        users=read_texts(containers, "users", f"{file}: containers", '["1000:1000"]'),
        builds=read_flag(containers, "dockerfiles", f"{file}: containers", default=True),
    )


def _read_grants(containers: Mapping[str, object], where: str) -> list[str]:
    """The words of the table `[containers]`."""
    flags = read_texts(containers, "allow", where, '["host-ipc"]') or ()
    for flag in flags:
        if flag not in FLAGS:
            raise UsageError(
                f"{flag!a} is nothing that containers can be allowed",
                where=f"{where}.allow",
                hint=f"known are {', '.join(FLAGS)}",
            )
    values = [
        f"{kind}:{value}"
        for key, kind in _LISTS.items()
        for value in read_texts(containers, key, where, '["/data"]') or ()
    ]
    values = [
        value.upper().replace("CAP:", "cap:").replace(":CAP_", ":") if value.startswith("cap:") else value
        for value in values
    ]
    return [*flags, *values]


def _read_options(containers: Mapping[str, object], where: str) -> tuple[str, ...]:
    options = read_texts(containers, "deny_options", where, '["--sysctl"]') or ()
    for option in options:
        if not option.startswith("--") or "=" in option:
            raise UsageError(
                f"{option!a} is no option's long name", where=f"{where}.deny_options", hint="as --sysctl"
            )
    return options
