"""Accounts of a sign-in provider: which user each is here, and the roles that its groups give."""

import json
import re
import secrets

from agent.errors import RefusedError
from agent.server.events import audit
from agent.server.events.changes import Change
from agent.server.people import accounts
from agent.server.people.auth.oidc import OidcIdentity, OidcSettings
from agent.server.people.auth.roles import Role
from agent.server.store import projects, users
from agent.server.store.users import UserRow

_MOST_TRIES = 50


async def admit_provided(change: Change, settings: OidcSettings, identity: OidcIdentity) -> UserRow:
    """The user of this account, with the roles that the provider gives now.

    A new one never takes over a name that is there. Raises RefusedError for who is disabled.
    """
    user = await _find_or_make(change, settings.issuer, identity)
    roles = await _claimed_roles(change, settings, identity)
    await users.replace_claimed(change.connection, user.id, roles, change.now)
    return user


async def _find_or_make(change: Change, issuer: str, identity: OidcIdentity) -> UserRow:
    subject = json.dumps([issuer, identity.subject])
    user = await users.find_by_subject(change.connection, subject)
    if user is None:
        name = await _free_name(change, identity.name)
        user = await accounts.create_user(change, name, subject=subject)
    audit.say_who(user.name, user.id)
    if user.disabled_at is not None:
        raise RefusedError("this account is disabled here", hint="ask an admin of the organisation")
    return user


async def _free_name(change: Change, wanted: str) -> str:
    plain = re.sub(r"[^a-z0-9._-]+", "-", wanted.lower()).strip("._-")[:50].rstrip("._-") or "user"
    for number in range(1, _MOST_TRIES):
        name = plain if number == 1 else f"{plain}-{number}"
        if await users.find_by_name(change.connection, name) is None:
            return name
    return f"{plain}-{secrets.token_hex(4)}"


async def _claimed_roles(change: Change, settings: OidcSettings, identity: OidcIdentity) -> dict[int, str]:
    """What the account's groups give: in each project the highest role of any of them."""
    found: dict[int, Role] = {}
    for group in identity.groups:
        for name, role in settings.roles.get(group, ()):
            project = await projects.find_by_name(change.connection, name)
            if project is not None:
                found[project.id] = max(role, found.get(project.id, role))
    return {project: role.label for project, role in found.items()}
