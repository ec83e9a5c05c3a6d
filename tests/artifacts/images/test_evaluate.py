"""A Dockerfile's instructions become an image's configuration as docker's reference says; every
expected value is written from its text, not from this code.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.artifacts.images.support import Said, built
from toolkit.errors import Refused
from toolkit.show.advice import sentence

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.mark.parametrize(
    ("lines", "key", "value"),
    [
        ("ENV A=1 B='x y' C=\"z $A\"", "Env", [PATH, "A=1", "B=x y", "C=z "]),
        (
            "ENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc",
            "Env",
            [PATH, "abc=bye", "def=hello", "ghi=bye"],
        ),
        ("ENV A a b  c", "Env", [PATH, "A=a b  c"]),
        ("ENV A=\\$B", "Env", [PATH, "A=$B"]),
        ("ENV PATH=/x:$PATH", "Env", [PATH.replace("=", "=/x:", 1)]),
        ("ARG A=1\nENV B=$A", "Env", [PATH, "B=1"]),
        ("ARG A=1\nENV A=2\nARG A=3\nENV B=$A", "Env", [PATH, "A=2", "B=2"]),
        ("ARG A\nENV B=${A:-none}", "Env", [PATH, "B=none"]),
        ("ARG A=1 B=${A}2\nENV C=$B", "Env", [PATH, "C=2"]),
        ("ARG G\nENV B=$G", "Env", [PATH, "B=global"]),
        ("ENV B=$G", "Env", [PATH, "B="]),
        ("ARG G=mine\nENV B=$G", "Env", [PATH, "B=mine"]),
        ("ARG GIVEN=x\nENV B=$GIVEN", "Env", [PATH, "B=given"]),
        ("ARG TARGETARCH\nENV B=$TARGETARCH", "Env", [PATH, "B=amd64"]),
        ('LABEL a=1 "b c"="d e"\nLABEL a=2', "Labels", {"a": "2", "b c": "d e", "recipe": "wins"}),
        ("LABEL recipe=loses", "Labels", {"recipe": "wins"}),
        ("WORKDIR /a\nWORKDIR b\nWORKDIR c", "WorkingDir", "/a/b/c"),
        ("WORKDIR a", "WorkingDir", "/a"),
        ("WORKDIR /.config/", "WorkingDir", "/.config"),
        ("ENV D=/d\nWORKDIR $D/e", "WorkingDir", "/d/e"),
        ("USER 1:2", "User", "1:2"),
        (
            "EXPOSE 80 53/udp 8000-8002",
            "ExposedPorts",
            {"80/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {}, "8002/tcp": {}},
        ),
        ("ENV P=9\nEXPOSE $P", "ExposedPorts", {"9/tcp": {}}),
        ('CMD ["a", "$B"]', "Cmd", ["a", "$B"]),
        ("CMD a $B | c", "Cmd", ["/bin/sh", "-c", "a $B | c"]),
        ('SHELL ["/s", "-x"]\nCMD a', "Cmd", ["/s", "-x", "a"]),
        ("CMD ['a']", "Cmd", ["/bin/sh", "-c", "['a']"]),
        ('CMD ["a"]\nENTRYPOINT ["e"]', "Cmd", ["a"]),
        ("ENTRYPOINT e f", "Entrypoint", ["/bin/sh", "-c", "e f"]),
        ("STOPSIGNAL SIGQUIT", "StopSignal", "SIGQUIT"),
        ('VOLUME ["/a b"]', "Volumes", {"/a b": {}}),
        ("VOLUME /a /b", "Volumes", {"/a": {}, "/b": {}}),
        ("HEALTHCHECK NONE", "Healthcheck", {"Test": ["NONE"]}),
        ("HEALTHCHECK CMD a b", "Healthcheck", {"Test": ["CMD-SHELL", "a b"]}),
        (
            'HEALTHCHECK --interval=1m30s --timeout=500ms --retries=3 CMD ["a"]',
            "Healthcheck",
            {"Test": ["CMD", "a"], "Interval": 90 * 10**9, "Timeout": 5 * 10**8, "Retries": 3},
        ),
    ],
)
def test_the_configuration_is_what_docker_would_make(
    tmp_path: Path, lines: str, key: str, value: Any
) -> None:
    text = f"ARG G=global\nFROM scratch\n{lines}\n"
    created = built(
        tmp_path, text, {}, args={"GIVEN": "given", "UNDECLARED": "x"}, labels={"recipe": "wins"}
    )
    assert created.config["config"][key] == value


def test_a_given_argument_wins_over_a_global_default(tmp_path: Path) -> None:
    created = built(tmp_path, "ARG V=1\nFROM scratch\nARG V\nLABEL v=$V", {}, args={"V": "2"})
    assert created.config["config"]["Labels"] == {"v": "2"}


def test_a_stage_inherits_configuration_and_arguments(tmp_path: Path) -> None:
    text = (
        'FROM scratch AS one\nARG A=1\nENV B=b\nWORKDIR /w\nCMD ["x"]\nFROM One\nLABEL a=$A'
        ' b=$B\nENTRYPOINT ["e"]'
    )
    config = built(tmp_path, text, {}).config["config"]
    assert config["Labels"] == {"a": "1", "b": "b"}
    assert (config["WorkingDir"], config["Entrypoint"], "Cmd" in config) == ("/w", ["e"], False)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("RUN make", ("line 2", "RUN", "install docker, podman or buildah")),
        ("\n\nonbuild copy a b", ("line 4", "ONBUILD")),
        ("COPY <<EOF /a\nx\nEOF", ("line 2", "heredoc")),
        ("COPY a", ("line 2", "destination")),
        ("COPY a b c", ("line 2", "must end with /")),
        ("COPY --parents a b/", ("line 2", "--parents")),
        ("COPY --from=nginx a b", ("line 2", "nginx", "earlier stage")),
        ("COPY --chown=app a b", ("line 2", "numbers")),
        ("COPY --chmod=u+x a b", ("line 2", "octal")),
        ("COPY none /b", ("line 2", "`none`", "not in the build context")),
        ("COPY ../../secret /b", ("line 2", "not in the build context")),
        ("ADD https://example.com/a /b", ("line 2", "network")),
        ("ADD a.tgz /", ("line 2", "archive", "COPY")),
        ("ENV A", ("line 2", "no value")),
        ("ENV A=1 B", ("line 2", "name=value")),
        ("ENV A='x", ("line 2", "not closed")),
        ("EXPOSE http", ("line 2", "not a port")),
        ("EXPOSE 70000", ("line 2", "not a port")),
        ("HEALTHCHECK --interval=soon CMD a", ("line 2", "duration")),
        ("SHELL a", ("line 2", "SHELL")),
        ("WORKDIR $NO", ("line 2", "WORKDIR")),
        ("USER a b", ("line 2", "USER")),
        ("NONSENSE x", ("line 2", "NONSENSE")),
        ("FROM a b", ("line 2", "FROM")),
        ("FROM ${NO}", ("line 2", "empty")),
    ],
)
def test_what_cannot_be_done_names_its_line(
    tmp_path: Path, lines: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(Refused) as error:
        built(tmp_path, f"FROM scratch\n{lines}\n", {"a": "a", "b": "b", "a.tgz": b"\x1f\x8b\x08"})
    text = f"{error.value} {sentence(error.value.next)}"
    assert all(word in text for word in words), text


@pytest.mark.parametrize("text", ["", "# nothing\n", "USER 1\nFROM scratch"])
def test_a_dockerfile_begins_with_from(tmp_path: Path, text: str) -> None:
    with pytest.raises(Refused, match="FROM"):
        built(tmp_path, text, {})


def test_a_stage_that_the_target_does_not_need_may_do_anything(tmp_path: Path) -> None:
    text = "FROM scratch AS test\nRUN make test\nFROM scratch AS app\nCOPY a /\nFROM app\nRUN lint"
    assert built(tmp_path, text, {"a": "a"}, target="app").texts == {"a": "a"}
    with pytest.raises(Refused, match="line 6"):
        built(tmp_path, text, {})
    with pytest.raises(Refused, match="no stage `web`"):
        built(tmp_path, text, {}, target="web")


def test_the_history_tells_each_instruction_once(tmp_path: Path) -> None:
    created = built(tmp_path, "FROM scratch\nCOPY --chown=1 a /\nENV A=1\nCMD x", {"a": "a"})
    notes = [
        (item["created_by"], item.get("empty_layer", False)) for item in created.config["history"]
    ]
    assert notes == [("COPY --chown=1 a /", False), ("ENV A=1", True), ("CMD x", True)]


def test_a_wildcard_that_matches_nothing_is_told(tmp_path: Path) -> None:
    message = Said()
    assert built(tmp_path, "FROM scratch\nCOPY yarn.lock* /", {}, message).layers == []
    assert message.lines == ["warning: line 2: no file matches `yarn.lock*`; nothing is copied"]


def test_an_empty_from_is_the_build_context(tmp_path: Path) -> None:
    created = built(tmp_path, 'FROM scratch\nCOPY --from="" a /b', {"a": "text"})
    assert created.texts == {"b": "text"}
