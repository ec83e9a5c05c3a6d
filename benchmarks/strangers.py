"""What `toolkit init` makes of repositories that it has never seen, as a table for the pages:

    python -m benchmarks.strangers FOLDER...

Nothing is written into the repositories, and no program of theirs is run.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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


def main(folders: list[Path]) -> None:
    """Print the table, then what stands behind each of its rows."""
    documents = [(folder, *draft(folder)) for folder in folders]
    print(HEAD)
    print("|" + " --- |" * (HEAD.count("|") - 1))
    for folder, document, took in documents:
        print(row(folder, document, took))
    for folder, document, _ in documents:
        print("\n".join(details(folder, document)))


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
