"""The five actions, and what each may have under `with`."""

from typing import Final

from agent.flow.shapes import FILLED, TEXT, Fields, Key, Shape, list_of, mapping, one_of, words

CONTAINER: Final = Fields(
    "container with",
    Key("image", FILLED, "The image.", required=True),
    Key(
        "command",
        one_of(FILLED, list_of(TEXT)),
        "The program, instead of the image's own entry point; of a list the first, the others come before `args`.",
    ),
    Key("args", list_of(TEXT), "What the program is given, word by word: nothing is split or quoted."),
)
SCRIPT: Final = Fields(
    "script with",
    Key(
        "script",
        FILLED,
        "What the image's bash runs; as there, it goes on after a command that fails.",
        required=True,
    ),
    Key("image", FILLED, "The image; it has a bash.", required=True),
)
GIT_CHECKOUT: Final = Fields(
    "git-checkout with",
    Key(
        "url",
        FILLED,
        "The repository; `context.event.github.url` is the one whose push started the run, else the run's own code.",
        required=True,
    ),
    Key(
        "ref",
        TEXT,
        "A branch, tag or commit; the default branch unless said, of the run's own repository its commit.",
    ),
    Key("username", TEXT, "Whose password it is; a token needs none."),
    Key("password", TEXT, "A password or token, as `secret:NAME`."),
    Key(
        "path",
        FILLED,
        "Where to, `/outputs/NAME` or a folder in it; the job's only volume or dataset unless said.",
    ),
)
S3_DOWNLOAD: Final = Fields(
    "s3-download with",
    Key("url", FILLED, "What to copy: `s3://BUCKET/PREFIX`.", required=True),
    Key("access-key", FILLED, "The name of the access key.", required=True),
    Key("secret-access-key", FILLED, "The key itself, which must be `secret:NAME`.", required=True),
    Key("region", TEXT, "The bucket's region; `us-east-1` unless said."),
    Key("endpoint", TEXT, "The server, where it is not Amazon's."),
    Key(
        "path",
        FILLED,
        "Where to, `/outputs/NAME` or a folder in it; the job's only volume or dataset unless said.",
    ),
)
CREATE_MODEL: Final = Fields(
    "create-model with",
    Key("name", FILLED, "What the model is called.", required=True),
    Key("type", words("Tensorflow", "ONNX", "Custom"), "What it was made with.", required=True),
)

# By what `uses` says.
ACTIONS: Final[dict[str, Fields]] = {
    "container@v1": CONTAINER,
    "script@v1": SCRIPT,
    "git-checkout@v1": GIT_CHECKOUT,
    "s3-download@v1": S3_DOWNLOAD,
    "create-model@v1": CREATE_MODEL,
}
ANY_WITH: Final[Shape] = mapping(*ACTIONS.values())
