"""The images of container actions: pulled or built once a job, those that are known beforehand before its first step."""

from agent.errors import NotFoundError, RefusedError
from agent.job.containers import open_engine
from agent.job.images import container_policy, settle_image
from agent.job.state import RunningJob
from agent.job.steprun import Action
from agent.job.streams import StepLog
from agent.resolve.manifest import DockerRuns

_SCHEME = "docker://"


def needs_image(action: Action) -> bool:
    """Whether this is a container action."""
    return isinstance(action.manifest.runs, DockerRuns)


def describe_image(action: Action, uses: str) -> str:
    """What getting the image is called in the log."""
    runs = action.manifest.runs
    assert isinstance(runs, DockerRuns)
    return f"Pull {runs.image.removeprefix(_SCHEME)}" if _is_named(runs) else f"Build {uses}"


async def find_image(job: RunningJob, action: Action, log: StepLog) -> str:
    """The name of the image to run; it is here when this returns. Raises AgentError."""
    from agent.containers.description import check_image
    from agent.containers.images import bring_image, build_image

    runs = action.manifest.runs
    assert isinstance(runs, DockerRuns)
    key = runs.image if _is_named(runs) else str(action.folder / runs.image)
    known = job.containers.images.get(key)
    if known:
        return known
    policy = container_policy(job)
    if _is_named(runs):
        image = check_image(runs.image[len(_SCHEME) :], runs.image)
        image = settle_image(job, image, runs.image, log.say)
        engine = await open_engine(job)
        await bring_image(engine, image, log.say, policy=policy, is_local_run=not job.settings.server_url)
    else:
        policy.require_build(runs.image)
        dockerfile = (action.folder / runs.image).resolve()
        if not dockerfile.is_relative_to(action.root.resolve()):
            raise RefusedError("the action's Dockerfile lies outside its repository", where=runs.image)
        if not dockerfile.is_file():
            raise NotFoundError("the action has no such Dockerfile", where=runs.image)
        image = await build_image(await open_engine(job), dockerfile, log.say)
    job.containers.images[key] = image
    return image


def _is_named(runs: DockerRuns) -> bool:
    return runs.image.lower().startswith(_SCHEME)
