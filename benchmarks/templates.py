"""What `diff --templates` costs beside the synthesis that it needs, and beside `diff` where
everything is known already.
"""

import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import repository
from benchmarks.timing import interleaved, ms

Row = tuple[str, str, str, str]
STACKS, FILES, RUNS, FIRST_RUNS = 10, 2_000, 11, 3
APP = f"""\
import json, os, pathlib, time
out = pathlib.Path(os.environ["CDK_OUTDIR"])
out.mkdir(parents=True, exist_ok=True)
end = time.process_time() + 2
while time.process_time() < end:
    pass
artifacts = {{}}
for number in range({STACKS}):
    queue = {{"Type": "AWS::SQS::Queue", "Properties": {{"DelaySeconds": number}}}}
    queues = {{f"Q{{n}}": queue for n in range(50)}}
    (out / f"S{{number}}.json").write_text(json.dumps({{"Resources": queues}}))
    artifacts[f"S{{number}}"] = {{"type": "aws:cloudformation:stack",
        "environment": "aws://unknown-account/unknown-region",
        "properties": {{"templateFile": f"S{{number}}.json"}}}}
(out / "manifest.json").write_text(json.dumps({{"version": "48.0.0", "artifacts": artifacts}}))
"""
"""An app that takes two seconds of processor time."""
RULES = "version = 1\n" + "".join(
    f'[targets.s{number}]\nkind = "stack"\nstack = "S{number}"\ncdk = "cdk"\n'
    for number in range(STACKS)
)
RULE = f"""\
[[rules]]
name = "Infrastructure"
paths = ["cdk/**"]
deploy = {json.dumps([f"s{number}" for number in range(STACKS)])}
"""


def rows(folder: Path, toolkit: Sequence[str]) -> Iterator[Row]:
    """The first answer, which synthesizes two commits, and every later one."""
    repo = folder / "app"
    files = {f"src/m{number // 100}/f{number}.py": "" for number in range(FILES)}
    cdk = {"cdk/cdk.json": json.dumps({"app": f"{sys.executable} app.py"}), "cdk/app.py": APP}
    for name, text in {**files, **cdk, "rules.toml": RULES + RULE}.items():
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text(text)
    repository.git(repo, "init", "-q", "-b", "main")
    repository.git(repo, "add", "-A")
    repository.git(repo, "commit", "-q", "-m", "first")
    (repo / "cdk/app.py").write_text(f"# why\n{APP}")
    repository.git(repo, "commit", "-q", "-am", "a comment")
    cache = folder / "cache"
    env = {**os.environ, "TOOLKIT_CACHE_DIR": str(cache), "CDK_OUTDIR": str(folder / "out")}
    diff = [*toolkit, "diff", "HEAD~1", "--json"]
    forget = f"import shutil; shutil.rmtree({str(cache / 'syntheses')!r}, True)"
    alone, _, first = interleaved(
        repo,
        FIRST_RUNS,
        ["sh", "-c", f"{sys.executable} cdk/app.py && {sys.executable} cdk/app.py"],
        [sys.executable, "-c", forget],
        [*diff, "--templates"],
        env=env,
    )
    ratio = statistics.median(a / b for a, b in zip(first, alone, strict=True))
    yield (
        f"`diff BASE --templates` the first time, an app of {STACKS} stacks",
        f"{ms(first)}: **{ratio:.2f}x** the app",
        f"the app twice {ms(alone)}",
        "at most 1.1x",
    )
    plain, cached = interleaved(repo, RUNS, diff, [*diff, "--templates"], env=env)
    more = statistics.median(a - b for a, b in zip(cached, plain, strict=True)) * 1000
    yield (
        f"`diff BASE --templates` again, {STACKS} stacks, {FILES:,} files",
        f"{ms(cached)}: **{more:.0f} ms** more than `diff`",
        f"`diff BASE` {ms(plain)}",
        "within 150 ms",
    )
