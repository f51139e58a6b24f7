"""A container action as a stage's program: its first process is given records, and gives them."""

from agent.containers.engine import Conversation, Engine
from agent.job.attach.container_program import ConversationProgram
from agent.job.containers.action_containers import prepare_container
from agent.job.steps.steprun import StepRun
from agent.resolve.manifests.model import DockerRuns


class ActionProgram(ConversationProgram):
    """See agent.job.attach.program.Program: a container's first process."""

    def __init__(self, engine: Engine, container: str, conversation: Conversation) -> None:
        super().__init__(conversation)
        self._engine = engine
        self._container = container

    async def stop(self) -> None:
        """See Program. It had its time to end when there were no more records."""
        self._conversation.close()
        await self._engine.remove(self._container)


async def open_action(step: StepRun, runs: DockerRuns) -> ActionProgram:
    """Start a container of the action's. Raises StepFailure, AgentError."""
    made = await prepare_container(step, runs)
    step.own_env = step.env  # with what its manifest says
    environment = step.describe_environment(made.extra, made.host)
    cwd = made.host.paths.to_inside(made.cwd)
    container, conversation = await made.host.open(made.arguments, cwd=cwd, env=environment)
    return ActionProgram(made.engine, container, conversation)
