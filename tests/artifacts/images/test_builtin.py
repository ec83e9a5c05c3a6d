"""The built-in builder against a real registry: the sandbox's."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import random
import socket
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import urllib3

from tests.artifacts.images.server import (
    Cutting,
    RegistryRequest,
    never_ending,
    passing,
    scripted,
)
from tests.artifacts.images.support import Entry, Said, entries, folder
from tests.support.run import ROOT
from tests.support.sandbox import ACCOUNT, REGION, Cloud
from toolkit.artifacts.images import (
    Pushed,
    Recipe,
    RegistryAddress,
    SecretText,
    check_recipe,
    image_config,
    layers,
)
from toolkit.artifacts.images.builtin import BuiltIn
from toolkit.artifacts.images.context import FileForm
from toolkit.errors import (
    CredentialsProblem,
    Missing,
    Refused,
    RegistryError,
    Stopped,
    TagTaken,
)
from toolkit.ports import registry, usage
from toolkit.ports.aws.client import Aws
from toolkit.ports.registry import RegistryClient, digest_of
from toolkit.show.advice import sentence

HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
LABELS = {"toolkit:commit": "abc"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry, "PAUSES_S", (0.0, 0.0, 0.0))
    monkeypatch.setenv("TOOLKIT_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("TOOLKIT_BASE_MIRROR", "SOURCE_DATE_EPOCH", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


def repository(aws: Aws, name: str, url: str, immutable: bool = False) -> RegistryAddress:
    aws.write(
        "ecr",
        "create_repository",
        repositoryName=name,
        imageTagMutability="IMMUTABLE" if immutable else "MUTABLE",
    )
    token = aws.read("ecr", "get_authorization_token")["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    return RegistryAddress(HOST, url, name, user, SecretText(password))


@pytest.fixture
def app(cloud: Cloud) -> RegistryAddress:
    """An empty repository, and how to get into it."""
    return repository(cloud.aws(), "app", cloud.url)


@pytest.fixture
def client(app: RegistryAddress) -> Iterator[RegistryClient]:
    registry_client = registry.connected(app, lambda: None)
    yield registry_client
    registry_client.close()


def push(
    root: Path, to: RegistryAddress, tag: str = "v1", said: Said | None = None, **recipe: object
) -> Pushed:
    recipe = {"context": ".", "dockerfile": "Dockerfile", "labels": LABELS, **recipe}
    return BuiltIn().build_and_push(
        msgspec.convert({"root": str(root), **recipe}, Recipe), to, tag, said or Said()
    )


FILES = {
    "Dockerfile": (
        'FROM scratch\nCOPY a b/ /app/\nCOPY run.sh /\nUSER 1:1\nENTRYPOINT ["/run.sh"]\n'
    ),
    "a": "A",
    "b/c": "C",
    "run.sh*": "R",
}


def test_what_comes_back_is_what_was_pushed(
    app: RegistryAddress, client: RegistryClient, tmp_path: Path
) -> None:
    content = random.Random(7).randbytes(300_000)
    pushed = push(folder(tmp_path / "c", {**FILES, "a": content}), app)
    manifest = client.manifest("app", "v1")
    assert manifest is not None
    assert pushed == Pushed(digest_of(manifest.body), f"{HOST}/app@{manifest.digest}")
    config = client.document("app", manifest.document["config"]["digest"])
    assert (config["architecture"], config["os"], config["created"]) == (
        "amd64",
        "linux",
        "1970-01-01T00:00:00Z",
    )
    assert (
        config["config"]["User"],
        config["config"]["Entrypoint"],
        config["config"]["Labels"],
    ) == ("1:1", ["/run.sh"], LABELS)
    by_name: dict[str, Entry] = {}
    for layer, diff_id in zip(
        manifest.document["layers"], config["rootfs"]["diff_ids"], strict=True
    ):
        path = tmp_path / "layer"
        assert client.download("app", layer["digest"], str(path)) == layer["size"]
        assert digest_of(gzip.decompress(path.read_bytes())) == diff_id
        by_name |= entries(path.read_bytes())
    assert {name: item.content for name, item in by_name.items() if item.kind == "file"} == {
        "app/a": content,
        "app/c": b"C",
        "run.sh": b"R",
    }


def test_the_registry_knows_it_by_the_same_digest(
    app: RegistryAddress, cloud: Cloud, tmp_path: Path
) -> None:
    pushed = push(folder(tmp_path / "c", FILES), app)
    (image,) = cloud.aws().read("ecr", "describe_images", repositoryName="app")["imageDetails"]
    assert (image["imageDigest"], image["imageTags"]) == (pushed.digest, ["v1"])


def test_the_second_push_sends_nothing(app: RegistryAddress, tmp_path: Path) -> None:
    root = folder(tmp_path / "c", FILES)
    with scripted(passing(app.address)) as between:
        through = msgspec.structs.replace(app, address=between.url)
        first, message = push(root, through), Said()
        assert len(between.told("POST")) == 3
        between.asked.clear()
        assert push(root, through, said=message) == first
        assert between.told("POST", "PUT", "PATCH") == []
        assert message.lines[-1] == f"the image exists already: {first.digest}"
        assert push(root, through, "v2", message) == first
        assert between.told("POST", "PUT", "PATCH") == ["PUT /v2/app/manifests/v2"]
        assert "2 layers, 2 already there" in message.lines


def test_only_the_changed_layer_is_sent(app: RegistryAddress, tmp_path: Path) -> None:
    root, message = folder(tmp_path / "c", FILES), Said()
    with usage.measured() as taken:
        push(root, app)
        first = taken().sent_bytes
        (root / "run.sh").write_text("changed")
        push(root, app, "v2", message)
        both = taken().sent_bytes
        push(root, app, "v2", message)
        assert taken().sent_bytes == both
    assert "2 layers, 1 already there" in message.lines
    assert first is not None
    assert both is not None
    assert 100 < both - first < first  # each has layers and a configuration


def test_a_tag_that_stands_for_something_else_is_not_moved(
    app: RegistryAddress, tmp_path: Path
) -> None:
    root = folder(tmp_path / "c", FILES)
    first = push(root, app)
    (root / "a").write_text("changed")
    with pytest.raises(Refused, match="another image under this tag"):
        push(root, app)
    assert image_config(app, "v1") == image_config(app, first.digest)


@pytest.mark.parametrize("immutable", [False, True])
def test_an_equal_image_that_was_packed_otherwise_is_taken(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, immutable: bool
) -> None:
    """Another machine's zlib packs the same files into other bytes."""
    app = repository(cloud.aws(), "app", cloud.url, immutable=immutable)
    root = folder(tmp_path / "c", FILES)
    theirs, message = push(root, app), Said()
    monkeypatch.setattr(layers, "_LEVEL", 1)
    assert push(root, app, said=message) == theirs
    assert (
        message.lines[-1] == f"the same image, packed differently, exists already: {theirs.digest}"
    )
    (root / "a").write_text("changed")
    with pytest.raises(TagTaken):
        push(root, app)


def test_an_immutable_tag_that_appears_meanwhile_is_told_as_such(
    cloud: Cloud, tmp_path: Path
) -> None:
    """The first look finds nothing, because somebody else pushes right after it."""
    app = repository(cloud.aws(), "app", cloud.url, immutable=True)
    push(folder(tmp_path / "other", {**FILES, "a": "other"}), app)
    answer = passing(app.address)

    def blind(registry_request: RegistryRequest) -> tuple[int, dict[str, str], bytes] | None:
        return (
            (404, {}, b"")
            if registry_request.method in ("HEAD", "GET")
            and "/manifests/v1" in registry_request.path
            else answer(registry_request)
        )

    with scripted(blind) as between, pytest.raises(Refused, match="another image under this tag"):
        push(folder(tmp_path / "c", FILES), msgspec.structs.replace(app, address=between.url))


def test_an_upload_that_is_cut_at_60_percent_is_sent_again(
    app: RegistryAddress, client: RegistryClient, tmp_path: Path
) -> None:
    """C17."""
    content = random.Random(3).randbytes(2_000_000)
    root = folder(tmp_path / "c", {"Dockerfile": "FROM scratch\nCOPY a /\n", "a": content})
    proxy = Cutting(app.address, 1_200_000)
    try:
        pushed = push(root, msgspec.structs.replace(app, address=proxy.url))
    finally:
        proxy.close()
    assert proxy.cut > 1_200_000
    assert client.digest("app", "v1") == pushed.digest
    manifest = client.manifest("app", "v1")
    assert manifest is not None
    client.download("app", manifest.document["layers"][0]["digest"], str(tmp_path / "layer"))
    assert entries((tmp_path / "layer").read_bytes())["a"].content == content


def test_a_large_layer_is_sent_in_parts(
    app: RegistryAddress, client: RegistryClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "MONOLITHIC", 100_000)
    monkeypatch.setattr(registry, "PART", 64_000)
    content = random.Random(4).randbytes(200_000)
    root = folder(tmp_path / "c", {"Dockerfile": "FROM scratch\nCOPY a /\n", "a": content})
    with scripted(passing(app.address)) as between:
        push(root, msgspec.structs.replace(app, address=between.url))
        ranges = [item.headers["Content-Range"] for item in between.asked if item.method == "PATCH"]
    assert ranges[:3] == ["0-63999", "64000-127999", "128000-191999"]
    assert len(ranges) == 4
    manifest = client.manifest("app", "v1")
    assert manifest is not None
    client.download("app", manifest.document["layers"][0]["digest"], str(tmp_path / "layer"))
    assert entries((tmp_path / "layer").read_bytes())["a"].content == content


def test_a_registry_that_has_another_digest_in_the_end_is_not_believed(
    app: RegistryAddress, tmp_path: Path
) -> None:
    answer, wrong = passing(app.address), "sha256:" + "0" * 64

    def lying(registry_request: RegistryRequest) -> tuple[int, dict[str, str], bytes] | None:
        row = answer(registry_request)
        return (
            (row[0], {**row[1], "docker-content-digest": wrong}, b"")
            if row
            and registry_request.method == "HEAD"
            and row[0] == 200
            and "manifests" in registry_request.path
            else row
        )

    with scripted(lying) as between, pytest.raises(Refused, match="another image under this tag"):
        push(folder(tmp_path / "c", FILES), msgspec.structs.replace(app, address=between.url))


def test_nothing_is_sent_when_something_must_not_be_copied(
    app: RegistryAddress, tmp_path: Path
) -> None:
    root = folder(tmp_path / "c", {**FILES, "b/out -> /etc/hostname": ""})
    with scripted(passing(app.address)) as between:
        with pytest.raises(Refused, match="not in the build context"):
            push(root, msgspec.structs.replace(app, address=between.url))
        assert between.asked == []


@pytest.mark.parametrize("stop", [1, 3, 5, 9, 14, 20])
def test_a_run_that_is_to_stop_stops_and_leaves_no_tag(
    app: RegistryAddress, client: RegistryClient, tmp_path: Path, stop: int
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(temporary))
        with pytest.raises(KeyboardInterrupt):
            push(folder(tmp_path / "c", FILES), app, said=Said(stop))
    assert client.digest("app", "v1") is None
    assert list(temporary.iterdir()) == []


def test_a_repository_that_is_not_there_is_told(app: RegistryAddress, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="there is no repository `other`"):
        push(folder(tmp_path / "c", FILES), msgspec.structs.replace(app, repository="other"))


def test_a_wrong_password_is_a_problem_of_credentials_and_is_not_shown(
    app: RegistryAddress, tmp_path: Path
) -> None:
    with pytest.raises(CredentialsProblem) as error:
        push(
            folder(tmp_path / "c", FILES),
            msgspec.structs.replace(app, password=SecretText("canary")),
        )
    secret = SecretText("canary")
    assert "canary" not in f"{error.value} {error.value!r} {secret} {secret!r} {app!r}"


def test_an_image_that_is_not_there_is_missing(app: RegistryAddress) -> None:
    with pytest.raises(Missing, match="app@v9"):
        image_config(app, "v9")


# Base images.


@pytest.fixture
def base(cloud: Cloud, app: RegistryAddress, tmp_path: Path) -> RegistryAddress:
    """A base image in the same registry, with the things that a COPY may stumble over."""
    home = repository(cloud.aws(), "base", cloud.url)
    files = {
        "Dockerfile": (
            "FROM scratch\nCOPY fs /\nENV LANG=C HOME_DIR=/home/me\nLABEL base=yes both=base\nCMD"
            ' ["python3"]\n'
        ),
        "fs/usr/bin/python3*": "#!",
        "fs/bin -> usr/bin": "",
        "fs/tmp/x": "",
        "fs/home/me/.profile": "",
    }
    push(folder(tmp_path / "base", files), home, "3.12", labels={})
    return home


def test_an_image_is_built_on_a_base_of_the_same_registry(
    app: RegistryAddress, base: RegistryAddress, tmp_path: Path, client: RegistryClient
) -> None:
    text = (
        f"FROM {HOST}/base:3.12\nCOPY a /bin\nCOPY a /tmp/\nWORKDIR $HOME_DIR\nCOPY a .\nLABEL"
        " both=app\n"
    )
    root, message = folder(tmp_path / "c", {"Dockerfile": text, "a": "A"}), Said()
    with scripted(passing(app.address)) as between:
        push(root, msgspec.structs.replace(app, address=between.url), said=message)
        assert [item for item in between.told("POST") if "mount=" in item and "from=base" in item]
        assert len(between.told("PUT")) == 5, (
            "the base's layer is mounted: 3 layers, the configuration, the manifest"
        )
    assert "4 layers, 1 already there" in message.lines
    manifest = client.manifest("app", "v1")
    assert manifest is not None
    actual = []
    for layer in manifest.document["layers"]:
        client.download("app", layer["digest"], str(tmp_path / "layer"))
        actual.append(sorted(entries((tmp_path / "layer").read_bytes())))
    assert actual[1:] == [
        ["usr/bin/a"],
        ["tmp/a"],
        ["home/me/a"],
    ], "no entry for a folder that is there: it would change its mode"
    config = client.document("app", manifest.document["config"]["digest"])
    assert config["config"]["Labels"] == {"base": "yes", "both": "app", **LABELS}
    assert (config["config"]["Cmd"], "LANG=C" in config["config"]["Env"]) == (["python3"], True)
    assert len([item for item in config["history"] if not item.get("empty_layer")]) == 4


def test_a_base_comes_from_the_mirror_if_there_is_one(
    app: RegistryAddress, base: RegistryAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = passing(app.address)
    login = base64.b64encode(f"{app.user}:{app.password.reveal()}".encode()).decode()

    def mirror(registry_request: RegistryRequest) -> tuple[int, dict[str, str], bytes] | None:
        assert "Authorization" not in registry_request.headers
        path = registry_request.path.replace("/v2/mirror/library/python/", "/v2/base/")
        return answer(
            RegistryRequest(
                registry_request.method,
                path,
                {**registry_request.headers, "Authorization": f"Basic {login}"},
                registry_request.body,
            )
        )

    with scripted(mirror) as servers:
        monkeypatch.setenv("TOOLKIT_BASE_MIRROR", f"{servers.netloc}/mirror")
        root = folder(tmp_path / "c", {"Dockerfile": "FROM python:3.12\nCOPY a /bin\n", "a": "A"})
        first = push(root, app)
        assert {item.path.split("/")[4] for item in servers.asked} == {"python"}
        assert sum("/blobs/" in item.path for item in servers.asked) == 2, (
            "the configuration and the layer, once"
        )
        servers.asked.clear()
        assert push(root, app, "v2") == first
        assert sum("/blobs/" in item.path for item in servers.asked) == 1, (
            "what is in the layer is remembered"
        )


def test_the_example_needs_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(
        str(ROOT / "examples/car-rental"), "backend", "backend/Dockerfile", labels=LABELS
    )
    monkeypatch.setenv("TOOLKIT_BASE_MIRROR", "127.0.0.1:1/mirror")
    check_recipe(recipe, "built-in")


def test_a_base_that_nobody_has_is_refused_with_what_to_do(
    app: RegistryAddress, tmp_path: Path
) -> None:
    root = folder(tmp_path / "c", {"Dockerfile": "FROM python:3.12\nCOPY a /\n", "a": "A"})
    for do in (
        lambda: push(root, app),
        lambda: check_recipe(Recipe(str(root), ".", "Dockerfile"), "built-in"),
    ):
        with pytest.raises(Refused, match=r"docker\.io/library/python:3\.12") as error:
            do()
        assert "TOOLKIT_BASE_MIRROR" in sentence(error.value.next)


def test_a_base_for_another_machine_is_refused(
    app: RegistryAddress, base: RegistryAddress, tmp_path: Path
) -> None:
    root = folder(tmp_path / "c", {"Dockerfile": f"FROM {HOST}/base:3.12\nCOPY a /\n", "a": "A"})
    with pytest.raises(Refused, match="is for linux/amd64, not for linux/arm64"):
        push(root, app, platform="linux/arm64")


def test_the_right_image_of_an_index_is_the_base(
    app: RegistryAddress, base: RegistryAddress, client: RegistryClient, tmp_path: Path
) -> None:
    arm = push(
        folder(tmp_path / "arm", {"Dockerfile": "FROM scratch\nCOPY a /\n", "a": "ARM"}),
        base,
        "arm",
        platform="linux/arm64",
    )
    amd = client.manifest("base", "3.12")
    arm_manifest = client.manifest("base", arm.digest)
    assert amd is not None
    assert arm_manifest is not None
    listed = [
        {
            "mediaType": registry.MANIFEST,
            "digest": "sha256:" + "1" * 64,
            "size": 2,
            "platform": {"os": "unknown"},
        },
        {
            "mediaType": registry.MANIFEST,
            "digest": amd.digest,
            "size": len(amd.body),
            "platform": {"os": "linux", "architecture": "amd64"},
        },
        {
            "mediaType": registry.MANIFEST,
            "digest": arm.digest,
            "size": len(arm_manifest.body),
            "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"},
        },
    ]
    body = json.dumps(
        {"schemaVersion": 2, "mediaType": registry.INDEX, "manifests": listed}
    ).encode()
    answer = passing(app.address)

    def with_index(registry_request: RegistryRequest) -> tuple[int, dict[str, str], bytes] | None:
        if "/v2/base/manifests/all" in registry_request.path:
            return (
                200,
                {"Content-Type": registry.INDEX, "Docker-Content-Digest": digest_of(body)},
                body,
            )
        return answer(registry_request)

    with scripted(with_index) as between:
        through = msgspec.structs.replace(app, address=between.url)
        root = folder(
            tmp_path / "c", {"Dockerfile": f"FROM {HOST}/base:all\nCOPY a /b\n", "a": "A"}
        )
        push(root, through, "arm", platform="linux/arm64")
        assert image_config(msgspec.structs.replace(through, repository="base"), "all")[
            "platforms"
        ] == ["linux/amd64", "linux/arm64"]
    config = image_config(app, "arm")
    assert (config["architecture"], config["labels"]) == ("arm64", LABELS)


def test_what_depends_on_a_base_is_not_refused_before_it_is_known(tmp_path: Path) -> None:
    text = (
        f"FROM {HOST}/base:1\nWORKDIR $APP_HOME\nEXPOSE $PORT\nCOPY *.sh /usr/local/bin\nUSER"
        " node\nWORKDIR /home/node\nCOPY --chown=$UID:$GID a ${APP_HOME}/\nCOPY a $WHERE\n"
    )
    root = folder(tmp_path, {"Dockerfile": text, "a": "", "x.sh": "", "y.sh": ""})
    check_recipe(Recipe(str(root), ".", "Dockerfile"), "built-in")
    (root / "Dockerfile").write_text(f"{text}RUN npm ci\n")
    with pytest.raises(Refused, match="line 9: RUN"):
        check_recipe(Recipe(str(root), ".", "Dockerfile"), "built-in")
    (root / "Dockerfile").write_text(f"{text}COPY nothing /\n")
    with pytest.raises(Refused, match="line 9: COPY: `nothing`"):
        check_recipe(Recipe(str(root), ".", "Dockerfile"), "built-in")


def test_whiteouts_of_a_base_take_files_away() -> None:
    from toolkit.artifacts.images.bases import _apply
    from toolkit.artifacts.images.tree import ImageNode

    image_nodes: dict[str, ImageNode] = {}
    _apply(
        image_nodes,
        [
            ("a", FileForm.FOLDER, ""),
            ("a/x", FileForm.FILE, ""),
            ("b", FileForm.FOLDER, ""),
            ("b/y", FileForm.FILE, ""),
            ("l", FileForm.LINK, "a"),
        ],
    )
    _apply(
        image_nodes,
        [
            ("a/.wh.x", FileForm.FILE, ""),
            ("b/.wh..wh..opq", FileForm.FILE, ""),
            ("b/z", FileForm.FILE, ""),
            (".wh.l", FileForm.FILE, ""),
        ],
    )
    assert sorted(image_nodes) == ["a", "b", "b/z"]


@pytest.mark.parametrize(
    "body", [b"no gzip", gzip.compress(b"no tar" * 200)], ids=["no-gzip", "no-tar"]
)
def test_a_damaged_base_layer_is_refused(tmp_path: Path, body: bytes) -> None:
    from toolkit.artifacts.images.bases import _read_layer

    (tmp_path / "layer").write_bytes(body)
    with pytest.raises(Refused, match="cannot be read"):
        list(_read_layer(str(tmp_path / "layer"), True, lambda: None))


# The client, against a registry that misbehaves.


def scripted_client(url: str, host: str = HOST) -> RegistryClient:
    return RegistryClient(url, host, "AWS", SecretText("canary-password"), lambda: None)


@pytest.mark.parametrize("broken", [True, False])
def test_an_error_names_the_host_and_nothing_else_of_an_address(
    tmp_path: Path, broken: bool
) -> None:
    """S23: where an upload goes on is a signed address."""
    (tmp_path / "a").write_bytes(b"x" * 100)
    secret = "X-Amz-Signature=canary"

    def answer(registry_request: RegistryRequest) -> tuple[int, dict[str, str], bytes] | None:
        if registry_request.method == "HEAD":
            return 404, {}, b""
        if registry_request.method == "POST":
            return 202, {"Location": f"/v2/app/blobs/uploads/1?{secret}"}, b""
        return (
            None
            if broken
            else (
                500,
                {},
                json.dumps(
                    {"errors": [{"code": "X", "message": f"see https://host/p?{secret} please"}]}
                ).encode(),
            )
        )

    with scripted(answer) as server:
        registry_client = scripted_client(server.url)
        with pytest.raises(RegistryError) as error:
            registry_client.upload("app", digest_of(b"x" * 100), str(tmp_path / "a"))
        registry_client.close()
        assert len(server.told("PUT")) == 4, "once, and three times again"
    assert HOST in str(error.value)
    value = error.value
    assert "canary" not in f"{value!r} {value} {value.__cause__!r} {value.__context__!r}"
    assert error.value.__suppress_context__


def test_a_blob_is_not_fetched_elsewhere_without_encryption(tmp_path: Path) -> None:
    with scripted(lambda item: (200, {}, b"blob")) as servers:
        with scripted(
            lambda item: (307, {"Location": f"{servers.url}/stored?sig=1"}, b"")
        ) as server:
            first = scripted_client(server.url)
            with pytest.raises(Refused, match="without encryption"):
                first.download("app", digest_of(b"blob"), str(tmp_path / "b"))
            first.close()
        assert "Authorization" in server.asked[0].headers
        assert servers.asked == []


BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"


@pytest.mark.real_time
@pytest.mark.parametrize("ask", ["manifest", "document", "download", "has_blob"])
@pytest.mark.parametrize(
    ("answer", "every_s"),
    [(BEGUN, 0.02), (BEGUN, 0.0), (b"", 0.0)],
    ids=["trickles", "stops", "is silent"],
)
def test_a_read_from_a_registry_that_never_ends_does_so_on_stop(
    tmp_path: Path, answer: bytes, every_s: float, ask: str
) -> None:
    began = time.monotonic()

    def check() -> None:
        if time.monotonic() > began + 0.4:
            raise Stopped

    more = (str(tmp_path / "blob"),) if ask == "download" else ()
    with never_ending(answer, every_s) as url:
        client = RegistryClient(url, HOST, "AWS", None, check)
        if ask == "has_blob" and answer:  # it has no body to wait for
            assert client.has_blob("app", digest_of(b"blob"))
            return
        with pytest.raises(Stopped):
            getattr(client, ask)("app", digest_of(b"blob"), *more)
        assert time.monotonic() - began < 3
        client.close()
    assert time.monotonic() - began < 5


def test_our_password_goes_to_the_registry_only() -> None:
    """What is elsewhere is signed: a password would be refused there, or kept."""
    registry_client = scripted_client("https://registry.example")
    sent: list[tuple[str, bool]] = []

    class Pool:
        def request(
            self, method: str, url: str, headers: dict[str, str], **_: object
        ) -> urllib3.HTTPResponse:
            sent.append((url, "Authorization" in headers))
            first = len(sent) == 1
            return urllib3.HTTPResponse(
                b"blob",
                {"Location": "https://store.example/x?sig=1"} if first else {},
                307 if first else 200,
            )

    registry_client._pool = Pool()  # type: ignore[assignment]
    with registry_client._blob("app", digest_of(b"blob")) as answer:
        assert answer.data == b"blob"
    assert sent == [
        (f"https://registry.example/v2/app/blobs/{digest_of(b'blob')}", True),
        ("https://store.example/x?sig=1", False),
    ]


def test_a_redirect_within_the_registry_is_followed_and_one_without_end_is_not(
    tmp_path: Path,
) -> None:
    def answer(registry_request: RegistryRequest) -> tuple[int, dict[str, str], bytes]:
        if registry_request.path.endswith("/end"):
            return 200, {}, b"blob"
        return 307, {"Location": registry_request.path if endless else "/end"}, b""

    for endless in (False, True):
        with scripted(answer) as server:
            registry_client = scripted_client(server.url)
            if endless:
                with pytest.raises(RegistryError, match="from one address to the next"):
                    registry_client.download("app", digest_of(b"blob"), str(tmp_path / "b"))
            else:
                assert registry_client.download("app", digest_of(b"blob"), str(tmp_path / "b")) == 4
            registry_client.close()


def test_bytes_that_are_not_those_of_the_digest_are_never_taken(tmp_path: Path) -> None:
    def answer(registry_request: RegistryRequest) -> tuple[int, dict[str, str], bytes]:
        return (
            200,
            {"Docker-Content-Digest": digest_of(b"right"), "Content-Type": registry.MANIFEST},
            b'{"a": "wrong"}',
        )

    with scripted(answer) as server:
        registry_client = scripted_client(server.url)
        with pytest.raises(RegistryError, match="not those of its digest"):
            registry_client.download("app", digest_of(b"right"), str(tmp_path / "b"))
        with pytest.raises(Refused, match="other bytes"):
            registry_client.document("app", digest_of(b"right"))
        with pytest.raises(Refused, match="another manifest"):
            registry_client.manifest("app", "v1")
        registry_client.close()


@pytest.mark.parametrize(
    ("status", "message", "error", "words"),
    [
        (
            403,
            "User: arn:x is not authorized to perform: ecr:PutImage on resource: arn:y because",
            "NotAllowed",
            "ecr:PutImage on arn:y",
        ),
        (403, "no", "CredentialsProblem", "no"),
        (401, "", "CredentialsProblem", "401"),
        (400, "the size is wrong", "RegistryError", "the size is wrong"),
        (503, "", "RegistryError", "503"),
        (429, "slow down", "RegistryError", "slow down"),
    ],
)
def test_what_the_registry_says_becomes_an_error_of_ours(
    status: int, message: str, error: str, words: str
) -> None:
    def answer(registry_request: RegistryRequest) -> tuple[int, dict[str, str], bytes]:
        return (
            status,
            {},
            (
                json.dumps({"errors": [{"code": "X", "message": message}]}).encode()
                if message
                else b""
            ),
        )

    with scripted(answer) as server:
        registry_client = scripted_client(server.url)
        with pytest.raises(Exception, match=words) as actual:
            registry_client.put_manifest("app", "v1", b"{}")
        registry_client.close()
        assert type(actual.value).__name__ == error
        assert len(server.asked) == (4 if status in (429, 503) else 1)


def test_a_registry_that_is_not_there_is_told_in_words() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        registry_client = scripted_client(f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(RegistryError, match="no connection"):
            registry_client.digest("app", "v1")
        registry_client.close()


def test_an_archive_can_be_listed_by_anybody(
    app: RegistryAddress, client: RegistryClient, tmp_path: Path
) -> None:
    push(folder(tmp_path / "c", FILES), app)
    manifest = client.manifest("app", "v1")
    assert manifest is not None
    client.download("app", manifest.document["layers"][0]["digest"], str(tmp_path / "layer"))
    with tarfile.open(
        fileobj=io.BytesIO((tmp_path / "layer").read_bytes()), mode="r:gz"
    ) as archive:
        assert [item.name for item in archive] == ["app", "app/a", "app/c"]
    assert os.listdir(tmp_path / "c")
