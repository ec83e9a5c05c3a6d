"""A function that is live and does not answer well gives way to the version before."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.names.test_functions import FILES, RULES
from tests.support.aws import Endpoint
from tests.support.aws.functions import Function, digest_of
from tests.support.repo import Repo
from tests.support.run import Toolkit

BAD = "raise SystemExit\n"
ON_FAILURE = 'regions = ["eu-west-1"]\nrollback = "on-failure"\nprivate = true\n'


@pytest.fixture
def function(aws_endpoint: Endpoint) -> Function:
    return aws_endpoint.functions.function("mail")


@pytest.fixture
def address(function: Function) -> Iterator[str]:
    """What answers for the version that the alias leads to: version 3 is broken."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            version = function.aliases["live"]["FunctionVersion"]
            self.send_response(500 if version == "3" else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def repo(tmp_path: Path, address: str) -> Repo:
    rules = RULES.replace('regions = ["eu-west-1"]\n', ON_FAILURE).replace(
        'source = "mail"\n', f'source = "mail"\nhealth = ["{address}"]\nsettle = "1s"\n'
    )
    return Repo.make(tmp_path / "repo", FILES, rules)


def test_a_version_that_does_not_answer_well_gives_way_to_the_last_good_one(
    repo: Repo, function: Function, toolkit: Toolkit
) -> None:
    done = toolkit(repo.path, "deploy-function", "mail", "--yes", "--adopt")
    assert done.code == 0, (done.out, done.err)
    good = repo.head
    repo.commit("bad", {"mail/index.py": BAD})
    done = toolkit(repo.path, "deploy-function", "mail", "--yes", "--json")
    verdicts = {step["step"]: step["verdict"] for step in done.json["steps"]}
    assert done.code == 1
    assert verdicts == {"mail": "unhealthy", "mail:rollback": "succeeded"}
    assert function.aliases["live"]["FunctionVersion"] == "2"
    assert len(function.versions) == 3
    # the good version is what runs, and what is recorded of it
    assert f"live: {good[:7]}" in toolkit(repo.path, "health", "mail", "--verbose").out
    assert "toolkit deploy-function mail" in toolkit(repo.path, "diff").out


def test_a_rollback_goes_back_by_name_and_refuses_what_is_gone(
    repo: Repo, function: Function, toolkit: Toolkit
) -> None:
    first = repo.head
    assert toolkit(repo.path, "deploy-function", "mail", "--yes", "--adopt").code == 0
    function.versions["3"] = function.versions["2"]  # so that the next one is version 4
    repo.commit("second", {"mail/index.py": "x = 2\n"})
    assert toolkit(repo.path, "deploy-function", "mail", "--yes").code == 0
    assert function.aliases["live"]["FunctionVersion"] == "4"
    listed = toolkit(repo.path, "rollback", "mail", "--list", "--json").json["versions"]
    assert [(item["version"], item["gone"]) for item in listed][-1] == (first, False)
    done = toolkit(repo.path, "rollback", "mail", "--to", first, "--yes")
    assert (done.code, function.aliases["live"]["FunctionVersion"]) == (0, "2")
    assert function.latest.sha256 != digest_of(b"old")
    del function.versions["4"]
    listed = toolkit(repo.path, "rollback", "mail", "--list", "--json").json["versions"]
    gone = {item["version"]: item["gone"] for item in listed}
    assert gone[repo.head] is True
    refused = toolkit(repo.path, "rollback", "mail", "--to", repo.head, "--yes")
    assert refused.code != 0
    assert "no longer exists" in refused.out + refused.err
