"""The same files give the same bytes."""

import gzip
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.artifacts.images.support import built, built_in, entries, folder
from toolkit.artifacts.images.builtin import epoch

NAME = st.text("abc.-_ é", min_size=1, max_size=6).filter(lambda name: name not in (".", ".."))
FILES = st.dictionaries(
    st.lists(NAME, min_size=1, max_size=3).map("/".join),
    st.binary(max_size=2000),
    min_size=1,
    max_size=8,
).filter(
    lambda files: (
        not any(f"{first}/" in f"{file}/" and first != file for first in files for file in files)
    )
)


@settings(max_examples=40)
@given(FILES, st.randoms(use_true_random=False))
def test_neither_order_on_disk_nor_time_nor_mode_bits_change_the_digest(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], chance: random.Random
) -> None:
    digests = set()
    for order in (sorted(files), chance.sample(sorted(files), len(files))):
        root = tmp_path_factory.mktemp("c")
        folder(root, {"Dockerfile": "FROM scratch\nCOPY x /x\n"})
        (root / "x").mkdir()
        for name in order:
            path = root / "x" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[name])
            path.chmod(chance.choice((0o600, 0o644, 0o664)))
            os.utime(path, (chance.randrange(10**9),) * 2)
        created = built_in(root, root / "layers")
        digests.add((created.written[0].digest, created.written[0].diff_id))
        assert {
            path: item.content for path, item in created.files.items() if item.kind == "file"
        } == {f"x/{n}": b for n, b in files.items()}
    assert len(digests) == 1


def test_the_bytes_are_those_of_every_machine(tmp_path: Path) -> None:
    """Of the tar, that is: what a compressor makes of it may change with zlib."""
    created = built(
        tmp_path, "FROM scratch\nCOPY d /d\n", {"d/a": "hello\n", "d/b*": "x", "d/l -> a": ""}
    )
    assert (
        created.written[0].diff_id
        == "sha256:d247087406af6472952af0be1e29ac83478d55a7afd511c342eb836fac0c22d0"
    )


def test_the_header_of_gzip_says_nothing_of_this_machine(tmp_path: Path) -> None:
    created = built(tmp_path, "FROM scratch\nCOPY a /\n", {"a": "x"})
    packed = Path(created.written[0].path).read_bytes()
    assert packed[:10] == bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF])
    assert len(gzip.decompress(packed)) % 512 == 0


def test_a_large_file_is_whole(tmp_path: Path) -> None:
    content = random.Random(1).randbytes(3_000_001)
    created = built(tmp_path, "FROM scratch\nCOPY a /\n", {"a": content})
    assert created.files["a"].content == content
    assert created.written[0].size == Path(created.written[0].path).stat().st_size


def test_everything_is_of_1970_or_of_source_date_epoch(tmp_path: Path) -> None:
    created = built(tmp_path, "FROM scratch\nCOPY a /\n", {"a": "x"})
    assert created.config["created"] == "1970-01-01T00:00:00Z"
    assert {
        value.mtime for value in entries(Path(created.written[0].path).read_bytes()).values()
    } == {0}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, 0), ("", 0), ("1700000000", 1_700_000_000), ("soon", 0), ("-5", 0), ("²", 0)],
)
def test_source_date_epoch_is_a_number_of_seconds(text: str | None, seconds: int) -> None:
    assert epoch(text) == seconds
