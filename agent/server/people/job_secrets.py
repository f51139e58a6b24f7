"""No secret of a job in what the job names: artifacts, caches, data sets and their files, tags, messages.

Names are stored and shown in clear, so the rule of a job's output holds for them. Who masks output, the job's supervisor,
does not see these requests; here they are held against the secrets that the job was given, in all forms that are masked.
What the job itself has asked to be masked (`::add-mask::`) is known to its supervisor alone.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator

import msgspec

from agent.control_sequences import leave_out_hidden
from agent.errors import UsageError
from agent.escapes import has_escapes, undo_escapes
from agent.mask_forms import derive_forms, encode_printed
from agent.painted import list_painted
from agent.server.people.auth.runtime import JobIdentity
from agent.server.people.vault import Asker, Vault
from agent.server.store import deliveries, jobs, run_branches
from agent.server.store.database import Connection, Database
from agent.spec.job import JobSpec

# The token of a run's repository, which its jobs have as `GITHUB_TOKEN`; "" when it has none, or the run is a stranger's.
FindJobToken = Callable[[Connection, int], Awaitable[str]]

_LEAST_BYTES = 4  # a shorter one stands in any text by chance
_CHANCE_BYTES = 16  # within a number or a digest, so does one that is shorter than this
_NUMBER = re.compile(r"[0-9]+|(sha256:)?[0-9a-f]{64}")


class JobSecrets:
    """Looks for the secrets of jobs in texts."""

    def __init__(self, database: Database, vault: Vault, find_job_token: FindJobToken) -> None:
        self._database = database
        self._vault = vault
        self._find_job_token = find_job_token

    async def refuse(self, identity: JobIdentity, token: str, texts: Iterable[str]) -> None:
        """Raises UsageError when one of `texts` holds a secret of the job, or the `token` that it has shown."""
        said = [text for text in dict.fromkeys(texts) if text not in ("", identity.job, str(identity.run))]
        if not said:
            return
        async with self._database.read() as connection:
            values = await self._open_all(connection, identity)
        forms = {
            form for value in (*values, token) for form in derive_forms(value) if len(form) >= _LEAST_BYTES
        }
        if any(_holds(text, forms) for text in said):
            raise UsageError(
                "a name or a text in this request holds a secret of the job",
                hint="names are stored and shown in clear: give it one without",
            )

    async def _open_all(self, connection: Connection, identity: JobIdentity) -> list[str]:
        spec = await jobs.load_spec(connection, identity.job)
        project = await jobs.project_of(connection, identity.job)
        assert project is not None
        asker = await make_asker(connection, spec, project)
        opened = await self._vault.open_for(connection, spec.secrets, asker)
        values = [value.decode("utf-8", "surrogatepass") for value in opened.values()]
        return [*values, await self._find_job_token(connection, spec.run)]


async def make_asker(connection: Connection, spec: JobSpec, project: int) -> Asker:
    """Whom secrets are for, of the job with `spec`."""
    origin = await deliveries.find_origin(connection, spec.run)
    branch = await run_branches.find_branch(connection, spec.run)
    return Asker(
        project=project,
        run=int(spec.run),
        environment=spec.environment,
        ref="" if branch is None else branch.ref,
        is_trusted=origin is None or origin.is_trusted,
    )


def texts_of(raw: bytes) -> Iterator[str]:
    """Every text in a JSON document, names of fields too; of what is no JSON, none: nobody will read it."""
    try:
        waiting: list[object] = [msgspec.json.decode(raw or b"null")]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    while waiting:
        match waiting.pop():
            case str() as text:
                yield text
            case list() as items:
                waiting += items
            case dict() as fields:
                waiting += [*fields, *fields.values()]
            case _:
                pass


def _holds(text: str, forms: set[bytes]) -> bool:
    said = encode_printed(text)
    shown = [said, leave_out_hidden(said), *list_painted(said)]
    shown += [undo_escapes(text) for text in shown if has_escapes(text)]
    is_number = _NUMBER.fullmatch(text) is not None
    return any(
        any(form in text for text in shown)
        for form in forms
        if not is_number or len(form) >= _CHANCE_BYTES or form == said
    )
