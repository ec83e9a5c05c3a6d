"""An image that is copied from one repository to another is the same afterwards, whatever a
registry answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tests.artifacts.images.server import Answer, RegistryRequest, passing, scripted
from tests.artifacts.images.support import Said
from tests.support.aws import Endpoint
from tests.support.aws.ecr import INDEXES, MANIFEST, Image, Repository, digest_of
from toolkit.artifacts.images import RegistryAddress, SecretText
from toolkit.artifacts.images.copying import copy_image
from toolkit.errors import LockLost, Missing, Refused, RegistryError, TagTaken, ToolkitError
from toolkit.ports import registry as port

TAG = "v1"
LAYERS = (b"one" * 1000, b"two" * 2000)


class Copied(Struct):
    """Repository `a`, which has an image with two layers, and `b`, which has nothing."""

    endpoint: Endpoint
    origin: Repository
    target: Repository
    image: Image
    intents: list[int]

    def __call__(self, digest: str = "", url: str = "", intend: Any = None) -> str:
        """Copy it; `url` is where its repository is reached."""

        def intended() -> None:
            self.intents.append(len(self.endpoint.calls))

        return copy_image(
            address(self.endpoint, "a", url),
            address(self.endpoint, "b"),
            digest or self.image.digest,
            TAG,
            Said(),
            intend or intended,
        ).digest


def address(endpoint: Endpoint, repository: str, url: str = "") -> RegistryAddress:
    password = SecretText(endpoint.ecr.password)
    return RegistryAddress(endpoint.host, url or endpoint.url, repository, "AWS", password)


def push(repository: Repository, endpoint: Endpoint, layers: tuple[bytes, ...]) -> Image:
    """An image of these layers, with its blobs."""
    config = b'{"architecture": "amd64", "os": "linux"}'
    parts = []
    for content in (config, *layers):
        repository.blobs[digest_of(content)] = content
        parts.append({"digest": digest_of(content), "size": len(content), "mediaType": "x/y"})
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": parts[0],
        "layers": parts[1:],
    }
    return endpoint.ecr.push(repository, json.dumps(document).encode(), MANIFEST)


@pytest.fixture
def copied(aws_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Copied:
    monkeypatch.setattr(port, "PAUSES_S", (0.0, 0.0, 0.0))
    origin, target = aws_endpoint.ecr.repository("a"), aws_endpoint.ecr.repository("b")
    image = push(origin, aws_endpoint, LAYERS)
    aws_endpoint.calls.clear()
    return Copied(aws_endpoint, origin, target, image, [])


@pytest.mark.parametrize("mounts", [True, False])
def test_a_copy_has_the_digest_and_all_bytes_of_its_original(copied: Copied, mounts: bool) -> None:
    copied.endpoint.ecr.mounts = mounts
    assert copied() == copied.image.digest
    actual = copied.target.found(TAG)
    assert actual is not None
    assert (actual.digest, actual.manifest) == (copied.image.digest, copied.image.manifest)
    assert copied.target.blobs == copied.origin.blobs
    sent = copied.endpoint.calls.count("registry:PutUpload")
    assert sent == (0 if mounts else len(LAYERS) + 1)


def test_each_call_that_changes_something_is_intended_first(copied: Copied) -> None:
    copied.endpoint.ecr.mounts = False
    copied()
    writes = ("registry:StartUpload", "registry:PutManifest")
    names = copied.endpoint.calls.names()
    last = -1
    for index, name in enumerate(names):
        if name in writes:
            assert any(last < intent <= index for intent in copied.intents), names
            last = index


def test_a_lost_lock_ends_it_between_two_layers_and_nothing_gets_the_tag(copied: Copied) -> None:
    copied.endpoint.ecr.mounts, count = False, 0

    def intend() -> None:
        nonlocal count
        count += 1
        if count == 5:  # a layer is mounted, or else sent
            raise LockLost(target="web", reason="it is gone")

    with pytest.raises(LockLost):
        copied(intend=intend)
    assert (len(copied.target.blobs), copied.target.images) == (2, {})


def test_a_copy_that_was_interrupted_sends_only_what_is_missing(copied: Copied) -> None:
    copied.endpoint.ecr.mounts = False
    for content in LAYERS:
        copied.target.blobs[digest_of(content)] = content
    copied()
    assert copied.endpoint.calls.count("registry:PutUpload") == 1


def test_an_image_that_is_there_is_not_sent_again(copied: Copied) -> None:
    copied()
    copied.intents.clear()
    assert (copied(), copied.intents) == (copied.image.digest, [])


def test_another_image_of_that_tag_stays(copied: Copied) -> None:
    other = copied.endpoint.ecr.image("b", TAG)
    with pytest.raises(TagTaken):
        copied()
    assert copied.target.found(TAG) is other


def test_an_index_is_copied_with_its_images(copied: Copied) -> None:
    second = push(copied.origin, copied.endpoint, (b"arm",))
    entries = [
        {"mediaType": MANIFEST, "digest": image.digest, "size": len(image.manifest)}
        for image in (copied.image, second)
    ]
    index = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    pushed = copied.endpoint.ecr.push(copied.origin, index, INDEXES[0])
    assert copied(pushed.digest) == pushed.digest
    assert set(copied.target.images) == {pushed.digest, copied.image.digest, second.digest}


def test_an_image_that_is_gone_is_missing(copied: Copied) -> None:
    copied.origin.images.clear()
    with pytest.raises(Missing):
        copied()


# A registry that lies


Change = Callable[[Answer], Answer]


def through(copied: Copied, what: str, change: Change) -> str:
    """Copy from a registry whose answers to GET of such paths are changed."""
    pass_on = passing(copied.endpoint.url)

    def answer(request: RegistryRequest) -> Answer | None:
        answered = pass_on(request)
        if answered is not None and request.method == "GET" and what in request.path:
            return change(answered)
        return answered

    with scripted(answer) as server:
        return copied(url=server.url)


def with_body(body: bytes, **headers: str) -> Change:
    return lambda answered: (answered[0], {**answered[1], **headers}, body)


@pytest.mark.parametrize(
    ("what", "change", "problem"),
    [
        ("/blobs/", with_body(b"three" * 600), RegistryError),
        ("/blobs/", lambda answered: (answered[0], answered[1], answered[2] * 50), RegistryError),
        ("/blobs/", lambda answered: (answered[0], answered[1], answered[2][:-1]), RegistryError),
        ("/blobs/", lambda answered: (404, {}, b"{}"), RegistryError),
        ("/manifests/", with_body(b'{"layers": []}'), Refused),
        ("/manifests/", with_body(b"[" * 100_000), Refused),
        ("/manifests/", with_body(b""), Refused),
    ],
)
def test_other_bytes_than_those_of_the_digest_are_refused_and_nothing_gets_the_tag(
    copied: Copied, what: str, change: Change, problem: type[ToolkitError]
) -> None:
    with pytest.raises(problem):
        through(copied, what, change)
    assert copied.target.images == {}


def test_no_more_is_downloaded_than_the_image_says(copied: Copied, tmp_path: Path) -> None:
    """The digest alone would be checked only at the end, which may never come."""
    with pytest.raises(RegistryError, match="larger than the image says"):
        through(copied, "/blobs/", lambda answered: (answered[0], answered[1], answered[2] * 50))


def test_a_target_that_keeps_another_image_is_caught(copied: Copied) -> None:
    other = copied.endpoint.ecr.image("b", "other")
    copied.endpoint.ecr.mounts = False
    pass_on = passing(copied.endpoint.url)

    def answer(request: RegistryRequest) -> Answer | None:
        answered = pass_on(request)
        asks = request.method == "HEAD" and request.path.endswith(TAG)
        if answered is not None and asks and answered[0] == 200:
            return (200, {**answered[1], "Docker-Content-Digest": other.digest}, b"")
        return answered

    with scripted(answer) as server, pytest.raises(TagTaken):
        copy_image(
            address(copied.endpoint, "a"),
            address(copied.endpoint, "b", server.url),
            copied.image.digest,
            TAG,
            Said(),
            lambda: None,
        )


def document(**changes: Any) -> Mapping[str, Any]:
    part = {"digest": "sha256:" + "1" * 64, "size": 3}
    return {"schemaVersion": 2, "config": part, "layers": [part], **changes}


@pytest.mark.parametrize(
    "described",
    [
        {},
        [],
        document(config=None),
        document(layers=None),
        document(layers=[{"digest": "../../etc/passwd", "size": 1}]),
        document(layers=[{"digest": "sha256:" + "1" * 64 + "\n", "size": 1}]),
        document(layers=[{"digest": "sha256:" + "1" * 64, "size": -1}]),
        document(layers=[{"digest": "sha256:" + "1" * 64, "size": True}]),
        document(layers=[{"digest": "sha256:" + "1" * 64}]),
        document(layers=[document()["config"]] * 1001),
    ],
)
@pytest.mark.parametrize("media_type", [MANIFEST, INDEXES[0], "text/html"])
def test_what_is_no_image_is_refused_in_words(
    copied: Copied, described: Any, media_type: str
) -> None:
    manifest = json.dumps(described).encode()
    image = Image(digest_of(manifest), manifest, media_type, copied.image.pushed)
    copied.origin.images[image.digest] = image
    with pytest.raises(Refused, match="is not an image that can be copied"):
        copied(image.digest)
    assert copied.target.images == {}
    assert not [name for name in copied.endpoint.calls.names() if "Blob" in name]


def test_an_index_of_indexes_is_refused(copied: Copied) -> None:
    inner = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
    inside = copied.endpoint.ecr.push(copied.origin, inner, INDEXES[0])
    entry = {"mediaType": INDEXES[0], "digest": inside.digest, "size": len(inner)}
    outer = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    with pytest.raises(Refused, match="is not an image that can be copied"):
        copied(copied.endpoint.ecr.push(copied.origin, outer, INDEXES[0]).digest)
