"""What the providers send, cut down to what counts, in each one's own shape."""

from typing import Any

ZEROS = "0" * 40
A, B, M = "a" * 40, "b" * 40, "e" * 40


def github_push(
    ref: str = "refs/heads/main", before: str = A, after: str = B, message: str = "work", **more: Any
) -> dict[str, Any]:
    return {
        "ref": ref,
        "before": before,
        "after": after,
        "created": before == ZEROS,
        "deleted": after == ZEROS,
        "forced": False,
        "head_commit": None if after == ZEROS else {"id": after, "message": message},
        "commits": [] if after == ZEROS else [{"id": after, "message": message}],
        "repository": github_repository(),
        "pusher": {"name": "ada"},
        "sender": {"login": "ada", "id": 7},
        **more,
    }


def github_repository(full_name: str = "acme/lab") -> dict[str, Any]:
    owner, name = full_name.split("/")
    return {
        "id": 1,
        "name": name,
        "full_name": full_name,
        "owner": {"login": owner, "id": 2},
        "default_branch": "main",
    }


def github_pull(
    action: str = "opened", head: str = B, base: str = A, fork: str = "acme/lab", number: int = 5, **more: Any
) -> dict[str, Any]:
    return {
        "action": action,
        "number": number,
        "pull_request": {
            "number": number,
            "mergeable": None,
            "head": {"ref": "topic", "sha": head, "repo": github_repository(fork)},
            "base": {"ref": "main", "sha": base, "repo": github_repository()},
            **more,
        },
        "repository": github_repository(),
        "sender": {"login": "ada", "id": 7},
    }


def gitea_push(**more: Any) -> dict[str, Any]:
    return {
        "secret": "do-not-show",
        "ref": "refs/heads/main",
        "before": A,
        "after": B,
        "compare_url": "https://git.example.org/acme/lab/compare/a...b",
        "commits": [{"id": B, "message": "work [skip ci]"}],
        "repository": github_repository(),
        "pusher": {"login": "ada"},
        "sender": {"login": "ada"},
        **more,
    }


def gitlab_project() -> dict[str, Any]:
    return {
        "id": 15,
        "path_with_namespace": "research/acme/lab",
        "default_branch": "main",
        "web_url": "https://gitlab.example.org/research/acme/lab",
        "git_http_url": "https://gitlab.example.org/research/acme/lab.git",
        "git_ssh_url": "git@gitlab.example.org:research/acme/lab.git",
        "visibility_level": 0,
    }


def gitlab_push(**more: Any) -> dict[str, Any]:
    return {
        "object_kind": "push",
        "before": A,
        "after": B,
        "ref": "refs/heads/main",
        "user_id": 4,
        "user_name": "Ada",
        "user_username": "ada",
        "project": gitlab_project(),
        "commits": [
            {
                "id": B,
                "message": "work",
                "author": {"name": "Ada", "email": "ada@example.org"},
                "added": ["a.py"],
            }
        ],
        **more,
    }


def gitlab_merge_request(action: str = "open", **more: Any) -> dict[str, Any]:
    return {
        "object_kind": "merge_request",
        "user": {"id": 4, "username": "ada"},
        "project": gitlab_project(),
        "labels": [{"title": "gpu"}],
        "object_attributes": {
            "id": 99,
            "iid": 5,
            "title": "A change",
            "state": "opened",
            "action": action,
            "source_branch": "topic",
            "target_branch": "main",
            "source_project_id": 15,
            "target_project_id": 15,
            "source": gitlab_project(),
            "target": gitlab_project(),
            "last_commit": {"id": B, "message": "work"},
            "url": "https://gitlab.example.org/research/acme/lab/-/merge_requests/5",
            **more,
        },
    }
