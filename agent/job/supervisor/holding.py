"""A job that has failed waits, before its post steps, for somebody to look: `--hold-on-failure`.

failed --(was it asked for? may anybody attach?)--> held --> goes on: the shell of whoever looked has ended,
                                                             `agent run resume`, the deadline, a cancel, the job's own time-out
"""

import asyncio
import contextlib
import time

from agent.errors import AgentError
from agent.job.steps.state import RunningJob
from agent.policy import load_attach_policy
from agent.spec.outcome import Conclusion

STEP = "__hold"  # its id in the journal: the server knows a held job by it


class Hold:
    """The waiting of one job."""

    def __init__(self, job: RunningJob) -> None:
        self._job = job
        self._why: asyncio.Future[str] | None = None

    async def wait(self) -> None:
        """Wait, when the job has failed and that was asked for."""
        job = self._job
        seconds = job.spec.hold_minutes * 60
        if job.status is not Conclusion.FAILURE or seconds <= 0:
            return
        until = time.strftime("%H:%M:%S UTC", time.gmtime(time.time() + seconds))
        log = job.recorder.begin_step(STEP, f"Held until {until}")
        if self._is_forbidden():
            log.say("The policy of this machine lets nobody attach to jobs: it is not held.")
        else:
            key = f"{job.spec.run} '{job.spec.key}'"
            log.say(f"The job has failed: {job.message}")
            log.say(f"It waits for somebody to look, until {until}: agent run attach {key}")
            log.say(f"It goes on when they leave the shell by `exit`, or by: agent run resume {key}")
            log.flush()
            log.say(f"It goes on: {await self._wait(seconds)}")
        log.end(Conclusion.SUCCESS, Conclusion.SUCCESS)

    def end(self, why: str) -> None:
        """Wait no longer; nothing happens when it does not."""
        if self._why is not None and not self._why.done():
            self._why.set_result(why)

    def resume(self, user: str) -> None:
        """Somebody wants it to go on. Raises AgentError when it is not held."""
        if self._why is None or self._why.done():
            raise AgentError("the job is not held")
        self.end(f"{user} said so")

    async def _wait(self, seconds: float) -> str:
        self._why = asyncio.get_running_loop().create_future()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._why
        return "the time is over"

    def _is_forbidden(self) -> bool:
        settings = self._job.settings
        try:
            return not load_attach_policy(settings.rules, must_exist=settings.policy_must_exist).allow
        except AgentError:
            return True
