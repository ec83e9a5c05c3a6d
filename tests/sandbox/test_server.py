"""The emulator's process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from tests.sandbox.test_engine import eventually
from tests.support.run import ROOT
from tests.support.sandbox import CACHE, Cloud
from toolkit.sandbox import environment, server

STARTER = """\
import sys, msgspec
from toolkit.sandbox import server
started = server.start(sys.argv[1], sys.argv[2], "eu-west-1", server.StartOptions(tied=True))
print(msgspec.json.encode(started).decode(), flush=True)
input()
"""


def test_two_accounts_see_nothing_of_each_other(cloud: Cloud) -> None:
    cloud.aws("111111111111").write(
        "s3",
        "create_bucket",
        Bucket="one",
        CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
    )
    assert cloud.aws("222222222222").read("s3", "list_buckets")["Buckets"] == []
    assert [bucket["Name"] for bucket in cloud.aws().read("s3", "list_buckets")["Buckets"]] == [
        "one"
    ]


def test_one_that_is_tied_ends_with_its_starter_even_if_that_is_killed(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        STARTER,
        environment.python(str(CACHE), print),
        str(tmp_path / "it"),
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as starter:
        assert starter.stdout is not None
        started = msgspec.json.decode(starter.stdout.readline(), type=server.Server)
        assert server.is_running(started)
        starter.kill()
    eventually(lambda: not server.is_running(started))


def test_one_that_is_not_tied_stays(tmp_path: Path) -> None:
    started = server.start(environment.python(str(CACHE), print), str(tmp_path / "it"), "eu-west-1")
    assert server.is_answering(started)
    server.end(started)
    assert not server.is_running(started)
    assert not server.is_answering(started)
