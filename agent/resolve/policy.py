"""The owner's word on which actions this machine runs, whatever a flow or a server says. `docs/actions.md` shows it.

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

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import RefusedError, UsageError
from agent.resolve.patterns import (
    Fetched,
    allowed_names,
    compile_denial,
    compile_permission,
    denied_names,
    denied_refs,
)
from agent.resolve.pins import Pins
from agent.resolve.reference import ImageReference, RepositoryReference, UrlReference, redact


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


def load_policy(file: Path | None, *, must_exist: bool = False) -> Policy:
    """The policy in `file`; without a file everything is allowed, unless it `must_exist`.

    Raises UsageError when it can't be read or holds anything that isn't understood: a rule must not be lost to a typo.
    """
    if file is None:
        return EVERYTHING
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if must_exist:
            raise UsageError(
                "there is no policy file", where=str(file), hint="AGENT_POLICY names it"
            ) from None
        return EVERYTHING
    except OSError as error:
        raise UsageError(f"the policy file can't be read: {error.strerror}", where=str(file)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"the policy file is not valid TOML: {error}", where=str(file)) from None
    return _read(data, str(file))


def _read(data: dict[str, Any], file: str) -> Policy:
    _expect_keys(data, {"actions"}, file)
    actions = data.get("actions", {})
    if not isinstance(actions, dict):
        raise UsageError("a table was expected", where=f"{file}: actions")
    _expect_keys(actions, {"allow", "deny", "require_pins"}, f"{file}: actions")
    requires_pins = actions.get("require_pins", False)
    if not isinstance(requires_pins, bool):
        raise UsageError("write true or false", where=f"{file}: actions.require_pins")
    return Policy(
        file=file,
        allow=_read_patterns(actions["allow"], f"{file}: actions.allow") if "allow" in actions else None,
        deny=_read_patterns(actions.get("deny", []), f"{file}: actions.deny"),
        requires_pins=requires_pins,
    )


def _expect_keys(table: dict[str, Any], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise UsageError(
                f"unknown key {key!a}", where=where, hint=f"known are {', '.join(sorted(known))}"
            )


def _read_patterns(patterns: object, where: str) -> tuple[str, ...]:
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise UsageError("a list of patterns was expected", where=where, hint='as ["actions/*", "acme/**"]')
    for pattern in patterns:
        if pattern.partition("@")[0].strip("/").count("/") == 0 and not pattern.startswith("**"):
            raise UsageError(
                f"the pattern {pattern!a} names no repository", where=where, hint=f"write {pattern}/* or **"
            )
    return tuple(patterns)
