"""The owner's word on which actions this machine runs, whatever a flow or a server says. docs/policy.md shows it.

    [actions]
    allow = ["actions/*", "acme/**", "https://git.example.org/**"]   # absent: everything; []: nothing
    deny = ["acme/old-tools", "*/*@main"]                            # beats `allow`
    require_pins = true                                              # a commit, or pinned by flow.lock

`*` stands for anything but `/`, `**` for anything. A pattern that names a repository stands for all folders in it;
one with `@` is for these refs only. To refuse too much is the safe mistake, so `deny` looks through disguises and
`allow` doesn't: `deny` has no regard for case, scheme, port and user, and `owner/repo` in it also meets a full
address that ends so; `allow` meets a full address only with a full address, and a pinned ref only with its commit,
for a lock comes from whoever wrote the flow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import RefusedError, UsageError
from agent.policy import Rules, expect_keys, read_flag, read_policy_file, read_texts
from agent.redaction import redact
from agent.resolve.patterns import (
    Fetched,
    allowed_names,
    compile_denial,
    compile_permission,
    denied_names,
    denied_refs,
)
from agent.resolve.pins import Pins
from agent.resolve.reference import ImageReference, RepositoryReference, UrlReference


@dataclass(frozen=True, slots=True)
class Policy:
    """What a policy file says; without one everything is allowed."""

    file: str = ""
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    requires_pins: bool = False

    def choose_places(self, reference: Fetched, urls: Sequence[str], ref: str) -> tuple[str, ...]:
        """Those of `urls` from which `reference` may come; `ref` is what will be asked for, its pin if it has one.

        Raises RefusedError when it may come from none.
        """
        refusals = [self._find_refusal(reference, url, ref) for url in urls]
        chosen = tuple(url for url, refusal in zip(urls, refusals, strict=True) if not refusal)
        if refusals and not chosen:
            raise self._refuse(reference, refusals[0])
        return chosen

    def check_image(self, reference: ImageReference) -> None:
        """Raises RefusedError when the image may not be used."""
        refusal = self._find_refusal(reference, "", "")
        if refusal:
            raise self._refuse(reference, refusal)

    def check_bundled(self, reference: RepositoryReference) -> None:
        """Raises RefusedError when an action that ships with this product is denied; it needs no `allow`."""
        rule = self._find_denial(reference, "", reference.ref)
        if rule:
            raise self._refuse(reference, rule)

    def check_pin(self, reference: RepositoryReference | UrlReference, pins: Pins) -> None:
        """Raises RefusedError when pins are required and `reference` has none."""
        if self.requires_pins and not pins.holds(reference):
            raise self._refuse(reference, "`require_pins`", hint="`agent action lock` writes flow.lock")

    def _find_refusal(self, reference: Fetched, url: str, ref: str) -> str:
        denial = self._find_denial(reference, url, ref)
        if denial or self.allow is None:
            return denial
        names = list(allowed_names(reference, url))
        if any(compile_permission(pattern).matches(names, [ref]) for pattern in self.allow):
            return ""
        return "nothing in `allow` names it"

    def _find_denial(self, reference: Fetched, url: str, ref: str) -> str:
        names = list(denied_names(reference, url))
        refs = list(denied_refs(reference, ref))
        for pattern in self.deny:
            if compile_denial(pattern).matches(names, refs):
                return f'deny = "{pattern}"'
        return ""

    def _refuse(self, reference: Fetched, rule: str, hint: str = "") -> RefusedError:
        return RefusedError(
            "the policy of this machine doesn't allow this action",
            where=redact(str(reference)),
            hint=f"{self.file}: {rule}{f'; {hint}' if hint else ''}",
        )


EVERYTHING = Policy()


def load_policy(file: Path | Rules | None, *, must_exist: bool = False) -> Policy:
    """The policy in `file`; without a file everything is allowed, unless it `must_exist`.

    Raises UsageError when it can't be read or holds anything that isn't understood: a rule must not be lost to a typo.
    """
    data = read_policy_file(file, must_exist=must_exist)
    return EVERYTHING if data is None else _read(data.get("actions", {}), str(file))


def _read(actions: Mapping[str, Any], file: str) -> Policy:
    where = f"{file}: actions"
    expect_keys(actions, ("allow", "deny", "require_pins"), where)
    return Policy(
        file=file,
        allow=_read_patterns(actions, "allow", where),
        deny=_read_patterns(actions, "deny", where) or (),
        requires_pins=read_flag(actions, "require_pins", where, default=False),
    )


def _read_patterns(actions: Mapping[str, Any], key: str, where: str) -> tuple[str, ...] | None:
    patterns = read_texts(actions, key, where, '["actions/*", "acme/**"]')
    for pattern in patterns or ():
        if pattern.partition("@")[0].strip("/").count("/") == 0 and not pattern.startswith("**"):
            raise UsageError(
                f"the pattern {pattern!a} names no repository",
                where=f"{where}.{key}",
                hint=f"write {pattern}/* or **",
            )
    return patterns
