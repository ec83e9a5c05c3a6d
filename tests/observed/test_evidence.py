"""The committed file."""

import pytest
from msgspec.structs import replace

from toolkit.observed import evidence
from toolkit.observed.evidence import Evidence, EvidenceError
from toolkit.operations import ObservedCommand, ObservedInputs

ONE = Evidence(
    command=("make", "all"),
    folder="",
    means="strace",
    locks={"uv.lock": "1"},
    read=("z", "a", "caf\udce9"),
    missing=("m",),
)


def test_what_is_written_is_read_again_and_sorted() -> None:
    data = evidence.written({"b": ONE, "a": ONE})
    assert list(evidence.read(data)) == ["a", "b"]
    assert evidence.read(data)["a"].read == ("a", "caf\udce9", "z")
    assert data == evidence.written(evidence.read(data))
    assert data.endswith(b"}\n")


def test_each_path_has_a_line_so_that_git_can_merge() -> None:
    lines = evidence.written({"a": ONE}).decode().splitlines()
    assert '    "a",' in lines
    assert '    "z"' in lines


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b'{"toolkit": 2, "observed": {}}',
        b'{"toolkit": 1}',
        b'{"toolkit": 1, "observed": {"a": {"command": 1}}}',
        b"[" * 100_000,
        b" " * (evidence.MOST_BYTES + 1),
    ],
)
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(EvidenceError):
        evidence.read(data)


def test_evidence_expires_with_its_lock_files() -> None:
    assert evidence.expired("a", ONE, {"uv.lock": "1"}) is None
    for digests in ({"uv.lock": "2"}, {"uv.lock": ""}, {}):
        problem = evidence.expired("a", ONE, digests)
        assert problem is not None
        assert problem.problem == "uv.lock has changed since"


def test_a_lock_file_that_could_not_be_read_proves_nothing() -> None:
    unread = replace(ONE, locks={"a.lock": "", "b.lock": "", "uv.lock": "1"})
    problem = evidence.expired("a", unread, {"a.lock": "", "b.lock": "2", "uv.lock": "1"})
    assert problem is not None
    assert problem.problem == "a.lock, b.lock could not be read when it was observed"


def test_evidence_is_about_one_command_in_one_folder() -> None:
    def observed(*command: str, folder: str = "") -> ObservedCommand:
        return ObservedCommand(command, folder, 0, "strace", ObservedInputs())

    assert evidence.other_command("a", ONE, observed("make", "all")) is None
    assert evidence.other_command("a", None, observed("make", "all")) is not None
    assert evidence.other_command("a", ONE, observed("make")) is not None
    assert evidence.other_command("a", ONE, observed("make", "all", folder="x")) is not None
