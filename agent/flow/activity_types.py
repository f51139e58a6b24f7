"""Activity types: what of an event can start a flow, and what does where the flow names none.

A host's webhook tells of more: an activity that is not in this table starts nothing. Source: GitHub's documentation, "Events
that trigger workflows" (November 2026), with the types that its workflow schema knows besides.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_EDITS = ("created", "edited", "deleted")
_PULL_REQUEST = (
    "assigned", "unassigned", "labeled", "unlabeled", "opened", "edited", "closed", "reopened", "synchronize",
    "converted_to_draft", "locked", "unlocked", "enqueued", "dequeued", "milestoned", "demilestoned",
    "ready_for_review", "review_requested", "review_request_removed", "auto_merge_enabled", "auto_merge_disabled",
    "stacked",
)  # fmt: skip

# Of each event of a host. One without any has no activities: it happens, or it does not.
ACTIVITY_TYPES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "branch_protection_rule": _EDITS,
    "check_run": ("completed", "created", "rerequested", "requested_action"),
    "check_suite": ("completed",),
    "create": (),
    "delete": (),
    "deployment": (),
    "deployment_status": (),
    "discussion": (
        *_EDITS, "transferred", "pinned", "unpinned", "labeled", "unlabeled", "locked", "unlocked",
        "category_changed", "answered", "unanswered"),
    "discussion_comment": _EDITS,
    "fork": (),
    "gollum": (),
    "image_version": ("created", "ready", "deleted"),
    "issue_comment": _EDITS,
    "issues": (
        "opened", "edited", "deleted", "transferred", "pinned", "unpinned", "closed", "reopened", "assigned",
        "unassigned", "labeled", "unlabeled", "locked", "unlocked", "milestoned", "demilestoned", "field_added",
        "field_removed", "typed", "untyped"),
    "label": _EDITS,
    "merge_group": ("checks_requested",),
    "milestone": ("created", "closed", "opened", "edited", "deleted"),
    "page_build": (),
    "project": ("created", "closed", "reopened", "edited", "deleted"),
    "project_card": ("created", "moved", "converted", "edited", "deleted"),
    "project_column": ("created", "updated", "moved", "deleted"),
    "public": (),
    "pull_request": _PULL_REQUEST,
    "pull_request_comment": _EDITS,
    "pull_request_review": ("submitted", "edited", "dismissed"),
    "pull_request_review_comment": _EDITS,
    "pull_request_target": _PULL_REQUEST,
    "push": (),
    "registry_package": ("published", "updated"),
    "release": ("published", "unpublished", "created", "edited", "deleted", "prereleased", "released"),
    "status": (),
    "watch": ("started",),
})  # fmt: skip

_REQUESTS = ("opened", "synchronize", "reopened")
# What counts where a flow names no types: all of an event's, but of a request to merge its code alone.
BY_DEFAULT: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {**ACTIVITY_TYPES, "pull_request": _REQUESTS, "pull_request_target": _REQUESTS}
)
