"""The apps of one job, from their ports to their end. Their states are `agent.spec.apps`' table.

    choose   before anything runs: a port for each that wants a free one, so that all steps and containers hear of it
    begin    containers are there: fixed ports are claimed, each app is told as waiting, and from now on they are watched
    close    the job is about to end: none is there any more

An app whose port nobody opens harms nobody: it is said once, and the job goes on.
"""

import asyncio
import secrets
from contextlib import suppress

from agent.errors import AgentError, RefusedError
from agent.job.apps.listening import answers, has_listener
from agent.job.apps.ports import claim_port, pick_port
from agent.job.output.recorder import StepLog, now_ms
from agent.job.steps.state import AppPort, RunningJob
from agent.journal.format import Annotation, AppChanged
from agent.spec.apps import APPS, TOKEN_MARK, AppState
from agent.spec.outcome import Conclusion

STEP = "__apps"  # its id in the journal

_PATIENCE_SECONDS = 120.0  # until it is said that nothing listens
_TOKEN_BYTES = 20
_QUICK_SECONDS = 0.2  # between two looks while an app is expected
_CALM_SECONDS = 2.0


class JobApps:
    """All apps of a job."""

    def __init__(self, job: RunningJob) -> None:
        self._job = job
        self._log: StepLog | None = None
        self._watching: asyncio.Task[None] | None = None

    def choose(self) -> None:
        """Pick the ports that the job leaves to us. Raises AgentError when none is free."""
        for place, app in enumerate(self._job.spec.apps):
            token = self._job.app_tokens.get(place) or secrets.token_hex(_TOKEN_BYTES)
            if app.port:
                self._job.apps.append(AppPort(place, app.name, app.port, app.opens, token))
            else:
                port, claim = pick_port()
                self._job.apps.append(AppPort(place, app.name, port, app.opens, token, port, claim=claim))

    def begin(self) -> None:
        """Claim the fixed ports of this machine, and watch. Raises RefusedError when one is another job's."""
        log = self._log = self._job.recorder.begin_step(STEP, "Apps")
        for app in self._job.apps:
            if not app.machine_port:
                self._claim(app)
            self._job.recorder.write(self._record(app))
            log.say(f"The app '{app.name}' is expected on port {app.port} (PORT_{app.place})")
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """All apps are gone, and their ports free."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        log = self._log
        for app in self._job.apps if log is not None else ():
            if app.state is AppState.WAITING:
                self._complain(app, f"nothing ever listened on port {app.port}")
            if app.state is not AppState.GONE:
                self._become(app, AppState.GONE)
        if log is not None:
            log.end(Conclusion.SUCCESS, Conclusion.SUCCESS)
        for app in self._job.apps:
            if app.claim is not None:
                app.claim.close()

    def _claim(self, app: AppPort) -> None:
        app.claim = claim_port(app.port)
        if app.claim is None or has_listener(app.port):
            raise RefusedError(
                f"port {app.port} of this machine is taken already",
                where=f"the app '{app.name}'",
                hint="port 0 has the agent pick a free one, which the steps find as "
                f"PORT_{app.place}; or give the job a container",
            )
        app.machine_port = app.port

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        late = loop.time() + _PATIENCE_SECONDS
        while True:
            for app in self._job.apps:
                await self._look(app)
            if loop.time() >= late:
                late = float("inf")
                self._complain_of_all()
            is_expecting = late < float("inf") and any(
                app.state is not AppState.READY for app in self._job.apps
            )
            await asyncio.sleep(_QUICK_SECONDS if is_expecting else _CALM_SECONDS)

    async def _look(self, app: AppPort) -> None:
        is_open = await answers(app.machine_port) if app.is_published else has_listener(app.machine_port)
        if is_open and app.state is not AppState.READY:
            self._become(app, AppState.READY)
            self._announce(app)
        elif not is_open and app.state is AppState.READY:
            self._become(app, AppState.GONE)
            self._say(f"Nothing listens any more on port {app.port}, the app '{app.name}'")

    def _complain_of_all(self) -> None:
        for app in self._job.apps:
            if app.state is AppState.WAITING:
                minutes = _PATIENCE_SECONDS / 60
                self._complain(app, f"nothing listens on port {app.port}, after {minutes:g} minutes")

    def _complain(self, app: AppPort, what: str) -> None:
        """Say, once, that the app is not there: in the log, and where people look at the run."""
        if app.message:
            return
        hint = "; in a container it has to listen on 0.0.0.0" if app.is_published else ""
        app.message = f"{what}{hint}"
        self._say(f"##[warning]The app '{app.name}': {app.message}; the job goes on")
        recorder = self._job.recorder
        step = 0 if self._log is None else self._log.step
        recorder.annotate(Annotation(step, "warning", f"The app '{app.name}': {app.message}"))
        recorder.write(self._record(app))

    def _announce(self, app: AppPort) -> None:
        job = self._job
        if job.settings.server_url:
            self._say(f"The app '{app.name}' is ready: agent run open {job.spec.run} {app.name}")
        else:
            self._say(f"The app '{app.name}' is ready: {self._local_url(app)}")

    def _become(self, app: AppPort, state: AppState) -> None:
        APPS.check(app.state, state)
        app.state = state
        if state is AppState.READY:
            app.message = ""
        self._job.recorder.write(self._record(app))

    def _record(self, app: AppPort) -> AppChanged:
        show = self._job.masker.mask_text
        return AppChanged(
            *(app.place, show(app.name), app.state, now_ms(), app.port, show(app.message)),
            url=self._local_url(app),
        )

    def _local_url(self, app: AppPort) -> str:
        """Where it is on this machine, for who runs the job here; empty where a server does."""
        if self._job.settings.server_url or not app.machine_port:
            return ""
        return f"http://127.0.0.1:{app.machine_port}{app.opens.replace(TOKEN_MARK, app.token)}"

    def _say(self, line: str) -> None:
        if self._log is not None:
            self._log.say(line)


def find_app(job: RunningJob, name: str) -> AppPort:
    """The job's app of that name. Raises AgentError when it has none such, or has not begun."""
    for app in job.apps:
        if app.name == name and app.machine_port:
            return app
    if any(app.name == name for app in job.spec.apps):
        raise AgentError(f"the job has not come to its app '{name}' yet", hint="try again in a moment")
    raise AgentError(f"the job has no app '{name}'")
