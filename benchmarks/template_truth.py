"""`rules replay --templates` against a truth made by other means, as rows for docs/templates.md:

    python -m benchmarks.template_truth CLONE APP [COMMITS] [SCRATCH]

CLONE is a clone of a public repository, APP the folder of its cdk.json, COMMITS how many of the
newest first-parent commits are compared (50). The truth: each commit is checked out at one path of
its own, with the packages of its own lock files, and synthesized by the CDK's own CLI; what counts
of a template is all of it but the CDK's metadata. Nothing of toolkit's own reading is used for it.
It runs the programs of the repository, and needs git, npm, python3 and `cdk` on PATH.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

MOST_S = 4 * 3600
HEAD = (
    "| repository | commits | that synthesize | stacks | stack changes | named | missed | needless"
    " | unknown | missed by the draft's rules |"
)
LOCKS = ("package-lock.json", "requirements.txt", "yarn.lock")
OWN = {
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_EC2_METADATA_DISABLED": "true",
    "PYTHONHASHSEED": "0",
    "CI": "1",
    "CDK_DISABLE_CLI_TELEMETRY": "1",
}
Stacks = Mapping[str, str]
"""Stack -> a digest of what it is."""


def run(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A program's end, whatever it is."""
    try:
        return subprocess.run(
            words,
            cwd=folder,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=MOST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 124, "", f"no end in {MOST_S} s")


def git(folder: Path, *words: str) -> str:
    """What git says."""
    return run(folder, "git", *words).stdout


class Truth:
    """What the commits of a repository become, by the CDK's own CLI."""

    def __init__(self, repository: Path, app: str, scratch: Path) -> None:
        self._at, self._app, self._installed = scratch / "truth", app, ""
        self._kept = scratch / "truth.json"
        shutil.rmtree(self._at, ignore_errors=True)
        run(scratch, "git", "clone", "-q", "--shared", str(repository), str(self._at))
        self._answers: dict[str, Any] = {}
        if self._kept.exists():
            self._answers = json.loads(self._kept.read_text())

    def stacks(self, commit: str) -> Stacks | str:
        """The stacks at a commit; in words why they are not known."""
        if commit not in self._answers:
            self._answers[commit] = self._synthesized(commit)
            self._kept.write_text(json.dumps(self._answers))
            print(f"truth {commit[:8]}: {str(self._answers[commit])[:300]}", file=sys.stderr)
        answer: Stacks | str = self._answers[commit]
        return answer

    def _synthesized(self, commit: str) -> Stacks | str:
        git(self._at, "checkout", "-q", "-f", "-B", "main", commit)
        git(self._at, "clean", "-fdqx", "-e", "node_modules", "-e", ".venv")
        folder = self._at / self._app
        if not (folder / "cdk.json").is_file():
            return "no cdk.json"
        failed = self._install(folder)
        if failed:
            return f"not installed: {failed}"
        out = folder / "cdk.out"
        bins = f"{folder / '.venv/bin'}:{folder / 'node_modules/.bin'}:{os.environ['PATH']}"
        words = ("cdk", "synth", "-q", "--no-notices", "--no-lookups", "--ignore-errors")
        done = run(folder, *words, "-o", str(out), PATH=bins, **OWN)
        if done.returncode or not (out / "manifest.json").is_file():
            return f"not synthesized: {(done.stderr.strip().splitlines() or ['?'])[-1][:200]}"
        return dict(_stacks(out))

    def _install(self, folder: Path) -> str:
        """Install what the nearest lock file says, where that differs; why it failed."""
        places = [folder, *(up for up in folder.parents if self._at in (up, *up.parents))]
        lock = next((up / name for up in places for name in LOCKS if (up / name).is_file()), None)
        if lock is None:
            return "no lock file"
        manifest = lock.parent / "package.json"
        texts = [path.read_bytes() for path in (lock, manifest) if path.is_file()]
        key = hashlib.sha256(b"\0".join([str(lock).encode(), *texts])).hexdigest()
        if key == self._installed:
            return ""
        self._installed = ""
        if lock.name == "requirements.txt":
            shutil.rmtree(folder / ".venv", ignore_errors=True)
            run(folder, "python3", "-m", "venv", ".venv")
            pip = (".venv/bin/python", "-m", "pip", "install", "-q", "-r", str(lock))
            done = run(folder, *pip)
        else:
            done = run(lock.parent, "npm", "ci", "--no-audit", "--no-fund")
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["?"])[-1][:200]
        self._installed = key
        return ""


def _stacks(out: Path) -> Iterator[tuple[str, str]]:
    """Each stack of an assembly and of those inside, by its name and place."""
    manifest = json.loads((out / "manifest.json").read_text())
    for key, artifact in manifest.get("artifacts", {}).items():
        properties = artifact.get("properties", {})
        if artifact["type"] == "cdk:cloud-assembly":
            yield from _stacks(out / properties["directoryName"])
        if artifact["type"] == "aws:cloudformation:stack":
            template = json.loads((out / properties["templateFile"]).read_text())
            what = [_bare(template), artifact.get("environment"), properties.get("tags")]
            what.append(properties.get("parameters"))
            digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
            yield properties.get("stackName") or key, digest


def _bare(template: dict[str, Any]) -> dict[str, Any]:
    """A template without what the CDK writes for itself."""
    resources = {}
    for name, resource in template.get("Resources", {}).items():
        if resource["Type"] == "AWS::CDK::Metadata":
            continue
        metadata = {
            key: value
            for key, value in resource.get("Metadata", {}).items()
            if not key.startswith(("aws:cdk:", "aws:asset:"))
        }
        bare = {key: value for key, value in resource.items() if key != "Metadata"}
        resources[name] = {**bare, "Metadata": metadata} if metadata else bare
    whole = {**template, "Resources": resources}
    for section, name in (
        ("Parameters", "BootstrapVersion"),
        ("Rules", "CheckBootstrapVersion"),
        ("Conditions", "CDKMetadataAvailable"),
    ):
        left = {key: value for key, value in whole.get(section, {}).items() if key != name}
        whole = {key: value for key, value in whole.items() if key != section}
        if left:
            whole[section] = left
    return whole


def rules(app: str, names: list[str]) -> str:
    """Rules with a target for each stack, which call for all of them whatever changes."""
    targets = "".join(
        f'[targets.s{number}]\nkind = "stack"\nstack = {json.dumps(name)}\n'
        f"cdk = {json.dumps(app)}\n"
        for number, name in enumerate(names)
    )
    return (
        "version = 1\n[environments.dev]\n"
        f'{targets}[[rules]]\nname = "All"\npaths = ["**"]\n'
        f"deploy = {json.dumps([f's{number}' for number in range(len(names))])}\n"
    )


def toolkit(folder: Path, *words: str) -> str:
    """What toolkit writes."""
    environment = {name: value for name, value in OWN.items() if name.startswith("AWS_")}
    done = run(folder, sys.executable, "-m", "toolkit", *words, **environment)
    if done.returncode not in (0, 1):
        print(done.stderr, file=sys.stderr)
    return done.stdout


def toolkit_rows(folder: Path, *words: str) -> dict[str, Any]:
    """Commit -> what toolkit says of it."""
    return {row["commit"]: row for row in map(json.loads, toolkit(folder, *words).splitlines())}


def main(clone: Path, app: str, commits: int, scratch: Path) -> None:
    """Print the row, and below it what is not as it should be."""
    scratch.mkdir(parents=True, exist_ok=True)
    history = git(clone, "rev-list", "--first-parent", f"-n{commits + 1}", "HEAD").split()
    pairs = list(pairwise(history))
    truth = Truth(clone, app, scratch)
    known = {commit: truth.stacks(commit) for commit in history}
    work = scratch / "work"
    shutil.rmtree(work, ignore_errors=True)
    run(scratch, "git", "clone", "-q", "--shared", str(clone), str(work))
    (work / "rules.toml").write_text(rules(app, names_of(known)))
    replay = ("rules", "replay", "-n", str(len(pairs)), "--json")
    rows = toolkit_rows(work, *replay, "--templates")
    (work / "rules.toml").unlink()
    toolkit(work, "init", "--yes")
    planned = toolkit_rows(work, *replay)
    report(clone.name, pairs, known, rows, planned)


def report(
    name: str,
    pairs: list[tuple[str, str]],
    known: Mapping[str, Stacks | str],
    rows: Mapping[str, Any],
    planned: Mapping[str, Any],
) -> None:
    """The row of a repository: of the commits that the CDK itself can tell the truth of."""
    names = names_of(known)
    count = dict.fromkeys(("changed", "named", "missed", "needless", "unknown", "draft"), 0)
    told: list[str] = []
    certain = 0
    for commit, parent in pairs:
        after, before, row = known[commit], known[parent], rows[commit]
        if isinstance(after, str) or isinstance(before, str):
            targets = {f"s{number}" for number in range(len(names))}
            if targets - row["unknown"].keys():
                told.append(f"{commit[:8]}: toolkit says something where the CDK fails")
            continue
        certain += 1
        for number, stack in enumerate(names):
            target = f"s{number}"
            is_changed = after.get(stack) != before.get(stack)
            count["changed"] += is_changed
            if target in row["unknown"]:
                if stack in after or stack in before:
                    count["unknown"] += 1
                    told.append(f"{commit[:8]} {stack}: {row['unknown'][target]}")
            elif is_changed and target in row["changed"]:
                count["named"] += 1
            elif is_changed != (target in row["changed"]):
                what = "missed" if is_changed else "needless"
                count[what] += 1
                told.append(f"{commit[:8]} {stack}: {what}")
            if is_changed and not planned.get(commit, {}).get("targets"):
                count["draft"] += 1
                told.append(f"{commit[:8]} {stack}: no rule of the draft calls for anything")
    cells = [name, len(pairs), certain, len(names), *count.values()]
    print(HEAD, f"| {' | '.join(map(str, cells))} |", *told, sep="\n")
    reasons = Counter(each for each in known.values() if isinstance(each, str))
    print(*(f"not known to the CDK of {number} commits: {why}" for why, number in reasons.items()))


def names_of(known: Mapping[str, Stacks | str]) -> list[str]:
    """The stacks of all commits."""
    certain = [stacks for stacks in known.values() if not isinstance(stacks, str)]
    return sorted(set().union(*certain))


if __name__ == "__main__":
    words = sys.argv[1:]
    number = int(words[2]) if len(words) > 2 else 50
    place = Path(words[3] if len(words) > 3 else "template-truth")
    main(Path(words[0]).resolve(), words[1], number, place.resolve())
