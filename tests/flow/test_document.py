"""docs/flow-language.md is what the table says."""

from pathlib import Path

from agent.flow.document import describe_shape
from agent.flow.load import find_front_end
from agent.flow.shapes import ANYTHING, NULL, TEXT, one_of

PAGE = Path(__file__).parents[2] / "docs" / "flow-language.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == find_front_end().make_page(), (
        "run: python -m agent.cli.flow.language > docs/flow-language.md"
    )


def test_the_page_of_gradients_keys_is_up_to_date():
    page = PAGE.parent / "dialects" / "gradient-keys.md"
    assert page.read_text() == find_front_end("gradient").make_page(), (
        "run: python -m agent.cli.flow.language gradient > docs/dialects/gradient-keys.md"
    )


def test_every_key_of_a_job_and_a_step_is_on_the_page():
    page = find_front_end().make_page()
    for key in (
        "runs-on",
        "cancel-timeout-minutes",
        "snapshot",
        "wait-all",
        "parallel",
        "background",
        "queue",
        "timezone",
    ):
        assert f"`{key}`" in page


def test_every_link_leads_to_a_section():
    page = find_front_end().make_page()
    anchors = {
        line[3:].lower().replace(" ", "-").replace(".", "") for line in page.splitlines() if line[:3] == "## "
    }
    links = {part.split(")")[0] for part in page.split("](#")[1:]}
    assert links - anchors == set()


def test_shapes_are_said_in_words():
    assert describe_shape(ANYTHING) == "anything"
    assert describe_shape(one_of(TEXT, NULL)) == "text or nothing"
