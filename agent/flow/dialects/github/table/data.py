"""`brings` and `keeps` of a job: data in and out of it, which GitHub's language has no keys for."""

from agent.flow.shapes import BOOLEAN, FILLED, TEXT, Fields, Key, list_of, mapping, one_of, words

_PATH = Key(
    "path",
    FILLED,
    "Where: in the workspace, or a whole path, or below `/inputs`, a folder of the job's own; unless said, where it lay "
    "when it was kept.",
)
_NAME = Key("name", FILLED, "One of what was kept; all of it unless said.")
_PROJECT = Key("project", FILLED, "Another project, which whoever started the run may read.")
_USUAL = (
    Key("read-only", BOOLEAN, "Nothing of it can be changed."),
    Key("optional", BOOLEAN, "Nothing is there: no error."),
)

BRINGS = list_of(
    mapping(
        Fields(
            "bring from a job",
            Key("job", FILLED, "What a job of this run kept, which `needs` names.", required=True),
            *(_NAME, _PATH, *_USUAL),
        ),
        Fields(
            "bring from a tag",
            Key("tag", FILLED, "What the run kept that has the tag.", required=True),
            *(_NAME, _PATH, _PROJECT, *_USUAL),
        ),
        Fields(
            "bring from the last run",
            Key("last", FILLED, "What this job kept when it last succeeded.", required=True),
            Key("flow", FILLED, "The flow that it is a job of, by file or name; this one unless said."),
            *(_NAME, _PATH, _PROJECT, *_USUAL),
        ),
        Fields(
            "bring from a run",
            Key("run", FILLED, "What that run kept: its number, or its readable name.", required=True),
            *(_NAME, _PATH, _PROJECT, *_USUAL),
        ),
        Fields(
            "bring a dataset",
            Key("dataset", FILLED, "A version: `NAME`, `NAME:3` or `NAME:TAG`.", required=True),
            *(_PATH, _PROJECT, *_USUAL),
        ),
        Fields(
            "bring a text",
            Key("text", TEXT, "What stands in the file.", required=True),
            *(_PATH, *_USUAL[:1]),
        ),
        Fields(
            "bring a cache",
            Key("cache", FILLED, "What was kept as a cache of this name, if anything was.", required=True),
            _PATH,
        ),
    )
)
KEPT_AS = ("artifact", "dataset", "volume", "text", "cache")
KEEPS = list_of(
    one_of(
        FILLED,
        mapping(
            Fields(
                "keep",
                Key(
                    "path",
                    FILLED,
                    "What: a file or folder of the workspace, or a whole path, or below `/outputs`, a folder of the job's own. "
                    "One that ends in `/` is there before the first step.",
                    required=True,
                ),
                Key("name", FILLED, "What to call it: the artifact, dataset, output or cache."),
                Key("as", words(*KEPT_AS), "As what: an artifact unless said; a `volume` goes with the run."),
                Key("always", BOOLEAN, "Also of a job that failed or was cancelled."),
                Key("live", BOOLEAN, "Every few seconds while the job runs, too."),
            )
        ),
    )
)
