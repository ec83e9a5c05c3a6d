"""What `toolkit init` makes of repositories that it has never seen, as a table for the pages:

    python -m benchmarks.strangers [--masked] FOLDER...

With --masked it lists what of the last 200 commits a draft ignores, or sends to some of its targets
alone: a person judges whether another one, or something that is not drafted, reads it. What no rule
matches calls for everything, and is not listed.

Nothing is written into the repositories, and no program of theirs is run.
"""

import json
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from toolkit.impact.matcher import Matcher

COMMITS = 200
HEAD = (
    "| repository | files | targets | seen, not drafted | to fill in | `rules check` | `doctor`"
    " | commits that deploy | time |"
)


def draft(folder: Path) -> tuple[Mapping[str, Any], float]:
    """What `init` says of a repository, and how long it took, in seconds."""
    start = time.perf_counter()
    words = [sys.executable, "-m", "toolkit", "init", "-C", str(folder), "--out", "-", "--json"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    took = time.perf_counter() - start
    if result.returncode:
        return {"error": result.stderr.strip().splitlines()[-1:]}, took
    document: Mapping[str, Any] = json.loads(result.stdout)
    return document, took


def row(folder: Path, document: Mapping[str, Any], took: float) -> str:
    """One line of the table."""
    if "error" in document:
        return f"| {folder.name} | {document['error']} |"
    proof = document["proof"]
    replay = proof["replay"] or {"commits": 0, "deploying": 0}
    coverage = document["coverage"]
    files = coverage["matched"] + coverage["ignored"] + coverage["unmatched"]
    holes = f"{len(proof['holes'])} to fill in" if proof["holes"] else "no errors"
    cells = (
        folder.name,
        f"{files:,}",
        str(len(document["found"])),
        str(len(document["seen"])),
        str(len(document["questions"])),
        f"{holes}, {len(proof['findings'])} findings",
        f"{len(proof['uncovered'])} uncovered",
        f"{replay['deploying']} of {replay['commits']}",
        f"{took:.1f} s",
    )
    return f"| {' | '.join(cells)} |"


def details(folder: Path, document: Mapping[str, Any]) -> Iterator[str]:
    """The evidence, what was seen besides, and the replay, to be judged by a person."""
    yield f"\n## {folder.name}\n"
    if "error" in document:
        return
    yield from (f"- {line}" for line in document["found"])
    yield from (f"- seen: {entry['where']}: {entry['what']}" for entry in document["seen"][:50])
    yield from (f"- to fill in: {question}" for question in document["questions"][:10])
    replay = document["proof"]["replay"]
    if replay:
        yield f"- replay: {replay['targets']}, no rule for {replay['unmatched'][:5]}"


def changed_paths(folder: Path) -> Counter[str]:
    """How many of the last commits change each path."""
    words = ["git", "-C", str(folder), "log", f"-{COMMITS}", "-m", "--first-parent", "--name-only"]
    result = subprocess.run(
        [*words, "--no-renames", "-z", "--format="], capture_output=True, text=True, check=True
    )
    return Counter(path for path in result.stdout.replace("\n", "\0").split("\0") if path)


def own_folders(settings: Mapping[str, Any]) -> set[str]:
    """The folders that a target says itself that it is made of."""
    build = settings.get("build") or settings.get("image") or {}
    named = [settings.get(key) for key in ("source", "folder", "cdk")]
    named += [build.get(key) for key in ("context", "folder")]
    folders = {folder for folder in named if isinstance(folder, str) and "{" not in folder}
    if isinstance(settings.get("template"), str):
        folders.add(settings["template"].rpartition("/")[0] or ".")
    return folders


def masked(folder: Path, document: Mapping[str, Any]) -> Iterator[str]:
    """What a change of the history does not call for, by folders: first what a target's own folder
    has, then the rest, to be judged by a person.
    """
    if "error" in document:
        return
    rules = tomllib.loads(document["rules"])
    listed = rules.get("rules", [])
    targets = {
        name: own_folders(target)
        for name, target in rules.get("targets", {}).items()
        if target["kind"] != "group"
    }
    matcher = Matcher([rules.get("ignore", []), *(rule["paths"] for rule in listed)])
    sure, rest = Counter[str](), Counter[str]()
    for path, count in changed_paths(folder).items():
        hits = {index for index, _ in matcher.match(path)}
        if not hits:
            continue
        called = set() if 0 in hits else {name for at in hits for name in listed[at - 1]["deploy"]}
        top = "/".join(path.split("/")[:3])
        for name in sorted(targets.keys() - called):
            is_own = any(own == "." or path.startswith(f"{own}/") for own in targets[name])
            words = f"{top}: not {name}, but {', '.join(sorted(called)) or 'ignored'}"
            (sure if is_own else rest)[words] += count
    yield f"\n## {folder.name}: not called for, in {COMMITS} commits\n"
    yield from (f"- in its own folder: {words} ({count})" for words, count in sure.most_common())
    yield from (f"- {words} ({count})" for words, count in rest.most_common(40))


def main(folders: list[Path], with_masked: bool) -> None:
    """Print the table, then what stands behind each of its rows."""
    documents = [(folder, *draft(folder)) for folder in folders]
    print(HEAD)
    print("|" + " --- |" * (HEAD.count("|") - 1))
    for folder, document, took in documents:
        print(row(folder, document, took))
    for folder, document, _ in documents:
        print("\n".join(details(folder, document)))
        if with_masked:
            print("\n".join(masked(folder, document)))


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:] if name != "--masked"], "--masked" in sys.argv)
