"""References: what a flow names another file by.

A *reference* names a file for the whole closure of a flow's texts: `./path` is a file of the repository of the run,
`owner/repo/path@ref` (or `https://host/owner/repo/path@ref`) one of another. A `./path` or `$/path` in a flow of another
repository is a file of that repository at that ref.
"""


def refer(uses: str, caller: str) -> str:
    """The reference of what `uses` names in the flow behind the reference `caller` ("" for the first flow)."""
    if not uses.startswith(("./", "$/")):
        return uses
    path = uses[2:]
    repository, _path, ref = split_reference(caller)
    joint = "//" if repository.startswith("https://") else "/"
    return f"{repository}{joint}{path}@{ref}" if repository else f"./{path}"


def split_reference(reference: str) -> tuple[str, str, str]:
    """(repository, path, ref) of a reference; no repository and no ref for a file of the run's own.

    `https://host/group/repo//path@ref` says where the repository ends; without `//` it has two names.
    """
    root, _, ref = reference.rpartition("@")
    if not root or reference.startswith("./"):
        return "", reference.removeprefix("./"), ""
    scheme = "https://" if root.startswith("https://") else ""
    repository, marked, path = root.removeprefix(scheme).partition("//")
    if marked:
        return scheme + repository, path, ref
    names = root.split("/")
    count = 5 if scheme else 2
    return "/".join(names[:count]), "/".join(names[count:]), ref
