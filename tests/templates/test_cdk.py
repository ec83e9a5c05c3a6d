"""Against the real CDK: its assemblies, and @aws-cdk/cloudformation-diff as an oracle."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.modes import by_mode
from tests.templates import raw_sources
from tests.templates.parts import compared, stack
from toolkit.templates.assembly import stacks
from toolkit.templates.clean import digest
from toolkit.templates.compare import compare
from toolkit.templates.model import Change, Replacement, StackComparison, SynthesizedStack
from toolkit.templates.replacement import predict

REAL = os.environ.get("TOOLKIT_TEST_CDK", "")
HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.slow("real CDK"),
    pytest.mark.skipif(not REAL, reason="TOOLKIT_TEST_CDK names no folder with the CDK"),
]

FULL = {
    "aws:cdk:enable-path-metadata": True,
    "aws:cdk:enable-asset-metadata": True,
    "aws:cdk:version-reporting": True,
    "aws:cdk:bundling-stacks": ["**"],
}
Synth = Callable[..., tuple[SynthesizedStack, ...]]


def node(script: Path, folder: Path, text: str = "", **more: str) -> str:
    """What a program of node writes."""
    environment = {**os.environ, "NODE_PATH": f"{REAL}/node_modules", **more}
    return subprocess.run(
        ["node", str(script)],
        cwd=folder,
        env=environment,
        input=text,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def synth(tmp_path_factory: pytest.TempPathFactory) -> Synth:
    """Synthesizes the app in one folder; `code` and `image` are what its assets hold."""
    folder = tmp_path_factory.mktemp("app")
    shutil.copy(HERE / "app.js", folder)
    for name in ("code", "image"):
        (folder / name).mkdir()

    def run(
        variant: str = "", code: str = "1", image: str = "1", context: dict[str, Any] = FULL
    ) -> tuple[SynthesizedStack, ...]:
        (folder / "code/index.js").write_text(f"exports.handler = async () => {code}\n")
        (folder / "image/Dockerfile").write_text(f"FROM scratch\nLABEL a={image}\n")
        out = folder / "cdk.out"
        shutil.rmtree(out, ignore_errors=True)
        values = {"CDK_OUTDIR": str(out), "CDK_CONTEXT_JSON": json.dumps(context)}
        node(folder / "app.js", folder, VARIANT=variant, **values)
        return stacks(lambda path: (out / path).read_bytes())

    return run


@pytest.fixture(scope="module")
def base(synth: Synth) -> tuple[SynthesizedStack, ...]:
    """The app as it is."""
    return synth()


def due(before: Any, after: Any) -> dict[str, StackComparison]:
    """The stacks that are not unchanged."""
    return {each.id: each for each in compare(before, after) if each.is_due}


ALL = {"Data", "Web", "Prod/Data", "Old", "Anywhere"}


def test_all_stacks_are_read(base: tuple[SynthesizedStack, ...]) -> None:
    assert {each.id for each in base} == ALL
    places = {each.id: (each.account, each.region) for each in base}
    assert places["Prod/Data"] == ("222222222222", "us-east-1")
    assert places["Anywhere"] == (None, None)
    assert all(len(each.nested) == 2 for each in base if each.id not in ("Web", "Anywhere"))


def test_what_the_cdk_writes_for_itself_decides_nothing(
    synth: Synth, base: tuple[SynthesizedStack, ...]
) -> None:
    """Neither in new nor in old synthesis, through two nested stacks."""
    bare = synth(context={})
    assert due(base, bare) == {}
    assert [digest(one) for one in base] == [digest(other) for other in bare]
    assert all("CDKMetadata" in each.undeployed for each in compare(base, bare))


def test_other_code_is_only_code_in_new_and_old_synthesis(
    synth: Synth, base: tuple[SynthesizedStack, ...]
) -> None:
    after = due(base, synth(code="2"))
    assert after.keys() == {"Data", "Prod/Data", "Old"}
    for comparison in after.values():
        assert comparison.only_code
        assert [each.label for each in comparison.code] == ["Api", "Inner/Worker"]


def test_another_image_is_only_code(synth: Synth, base: tuple[SynthesizedStack, ...]) -> None:
    [comparison] = due(base, synth(image="2")).values()
    assert comparison.only_code
    assert [(each.label, each.container) for each in comparison.code] == [("Task", "web")]


@pytest.mark.parametrize("variant", ["bucket", "topic", "rename", "description"])
def test_each_change_is_told_and_no_other(
    synth: Synth, base: tuple[SynthesizedStack, ...], variant: str
) -> None:
    after = due(base, synth(variant))
    names = {"Data"} if variant == "description" else {"Data", "Prod/Data", "Old"}
    assert after.keys() == names
    for comparison in after.values():
        assert not comparison.only_code
        told = [(each.change, each.label) for each in comparison.resources]
        assert (
            told
            == {
                "bucket": [(Change.CHANGED, "Data")],
                "topic": [(Change.CHANGED, "Inner/Deep/Topic")],
                "rename": [(Change.RENAMED, "Inner/Jobs")],
                "description": [],
            }[variant]
        )


def test_a_lookup_without_an_answer_is_unknown(
    synth: Synth, base: tuple[SynthesizedStack, ...]
) -> None:
    after = synth("lookup")
    assert {each.id for each in after if each.missing} == {"Net"}


def full_diff(pairs: list[tuple[Any, Any]]) -> list[dict[str, str] | None]:
    """What CDK's own program says of pairs of templates, None where it fails."""
    result: list[dict[str, str] | None] = json.loads(
        node(HERE / "full_diff.js", HERE, json.dumps(pairs))
    )
    return result


def test_the_oracle_finds_the_same_resources_in_real_templates(
    synth: Synth, base: tuple[SynthesizedStack, ...]
) -> None:
    """By the cleaned templates of both: the oracle knows nothing of nested stacks."""
    for variant in ("bucket", "topic", "rename", "description"):
        after = synth(variant, code="2")
        pairs = [(one.template, other.template) for one, other in zip(base, after, strict=True)]
        comparisons = compare(base, after)
        for said, comparison, new in zip(full_diff(pairs), comparisons, after, strict=True):
            assert said is not None
            own = {each.logical_id for each in comparison.resources}
            own |= {each.previous_id for each in comparison.resources} - {""}
            own = {name.partition("/")[0] for name in own}
            assert own == said.keys()
            predictions = predict(comparison, new)
            for name, impact in said.items():
                if impact in ("WILL_REPLACE", "MAY_REPLACE"):
                    assert predictions[name].replacement is not Replacement.NEVER


def test_nothing_is_called_kept_that_the_oracle_calls_replaced() -> None:
    """But for what the oracle itself fails on, such as a policy without a document."""
    assert raw_sources.SOURCES is not None
    every = list(raw_sources.mutations(*raw_sources.SOURCES, by_mode(500, 3000, 20_000), seed=99))
    replaced = 0
    said = full_diff([(each.before, each.after) for each in every])
    assert said.count(None) < len(every) / 50
    for mutation, impacts in zip(every, said, strict=True):
        if impacts is None:
            continue
        old, new = (stack(each["Resources"]) for each in (mutation.before, mutation.after))
        if impacts.get("It") in ("WILL_REPLACE", "MAY_REPLACE"):
            replaced += 1
            found = predict(compared(old, new), new)["It"]
            assert found.replacement is not Replacement.NEVER, (mutation.type, mutation.path)
    assert replaced > len(every) / 5
