"""The trusted base: the commit whose rules.toml decides how a deploy is judged (docs/adr/0025)."""

import os

from msgspec import Struct

from toolkit.advice import ShellCommand
from toolkit.errors import NoTrustedBase, UsageError
from toolkit.ports import ci
from toolkit.ports.git import Git, is_object_id, is_ref_name

VARIABLE = "TOOLKIT_TRUSTED_REF"
"""What names it from outside of the repository."""

REMOTE_BRANCHES = "refs/remotes/"

_GET = "get it with:"
_EXPORT = f"export {VARIABLE}={{}}"


class TrustedBase(Struct, frozen=True):
    """`ref` is how people call it: `origin/main`, `HEAD`. `commit` is empty where nothing is
    committed yet."""

    ref: str
    commit: str


def find(git: Git) -> TrustedBase:
    """What TOOLKIT_TRUSTED_REF names; else the remote's default branch; else, without a remote,
    HEAD.

    Raises NoTrustedBase with the command that gets it where it is not in this clone, UsageError.
    """
    named = os.environ.get(VARIABLE)
    if named is not None:
        return _named(named, git)
    default = git.ref("refs/remotes/origin/HEAD")
    if default is not None:
        return TrustedBase(_short(default[0]), default[1])
    remotes = git.remotes()
    if not remotes:
        return TrustedBase("HEAD", git.head or "")
    return _default_branch(_which(remotes), git)


def _which(remotes: list[str]) -> str:
    """The remote whose default branch counts. Raises NoTrustedBase where that is not clear."""
    if "origin" in remotes:
        return "origin"
    if len(remotes) > 1:
        raise NoTrustedBase(
            f"which of the remotes ({', '.join(remotes)}) to trust is not clear, because none "
            "is called origin",
            ("choose a branch:", ShellCommand(_EXPORT, (f"{remotes[0]}/main",))),
        )
    return remotes[0]


def _default_branch(remote: str, git: Git) -> TrustedBase:
    """What the remote's HEAD points at, or the branch that the CI names."""
    branches = f"{REMOTE_BRANCHES}{remote}/"
    ref = git.points_at(f"{branches}HEAD")
    if ref is None:
        ref = branches + (ci.default_branch() or "HEAD")
    commit = git.commit_at(ref)
    if commit is not None:
        return TrustedBase(_short(ref), commit)
    branch = ref.removeprefix(branches)
    if branch not in (ref, "HEAD") and is_ref_name(branch):
        raise NoTrustedBase(_missing(_short(ref)), (_GET, _fetch(git, remote, branch)))
    get = f"git fetch{_depth(git)} {{}} {{}} && git remote set-head {{}} --auto"
    words = (remote, f"+refs/heads/*:{branches}*", remote)
    raise NoTrustedBase(
        f"the default branch of {remote}, whose rules.toml decides how a deploy is judged, is not"
        " known",
        (_GET, ShellCommand(get, words)),
    )


def _named(name: str, git: Git) -> TrustedBase:
    """What somebody has named: a ref or an id. A short name that several refs have is refused, for
    whoever may push a tag could choose."""
    if not is_ref_name(name):
        problem = "is set, but empty"
        if name:
            problem = f"is {name!r}, which cannot be a ref"
        raise UsageError(
            f"{VARIABLE} {problem}", f"set it to a branch such as origin/main, or unset {VARIABLE}"
        )
    commit = git.commit_at(name)
    if commit is not None:
        return TrustedBase(_short(name), commit)
    refs = [name]
    if not name.startswith("refs/"):
        refs = [f"refs/{kind}/{name}" for kind in ("remotes", "heads", "tags")]
    remote = git.remote()
    present = git.refs(*refs) or git.refs(f"{REMOTE_BRANCHES}{remote}/{name}")
    if len(present) > 1:
        raise UsageError(
            f"{VARIABLE} is {name!r}, and {' and '.join(present)} are both called that",
            ("use its full name:", ShellCommand(_EXPORT, (present[0],))),
        )
    commit = git.commit_at(present[0]) if present else None
    if commit is not None:
        return TrustedBase(_short(present[0]), commit)
    raise NoTrustedBase(_missing(f"{name} ({VARIABLE})"), (_GET, _fetch_named(git, remote, name)))


def _missing(name: str) -> str:
    return f"{name}, whose rules.toml decides how a deploy is judged, is not in this clone"


def _fetch_named(git: Git, remote: str, name: str) -> ShellCommand:
    fetch = f"git fetch{_depth(git)}"
    if name.startswith("refs/tags/"):
        return ShellCommand(fetch, (remote, f"+{name}:{name}"))
    if is_object_id(name):
        return ShellCommand(fetch, (remote, name))
    branch = name.removeprefix("refs/heads/").removeprefix(REMOTE_BRANCHES)
    return _fetch(git, remote, branch.removeprefix(f"{remote}/"))


def _fetch(git: Git, remote: str, branch: str) -> ShellCommand:
    """The command that gets a branch into a clone, whatever that was made to fetch."""
    refs = f"+refs/heads/{branch}:{REMOTE_BRANCHES}{remote}/{branch}"
    return ShellCommand(f"git fetch{_depth(git)}", (remote, refs))


def _depth(git: Git) -> str:
    """Of a shallow clone's branches no more than the tip is fetched."""
    return " --depth=1" if git.shallow else ""


def _short(ref: str) -> str:
    for prefix in (REMOTE_BRANCHES, "refs/heads/", "refs/tags/"):
        if ref.startswith(prefix):
            return ref.removeprefix(prefix)
    return ref
