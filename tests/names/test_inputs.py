"""What a target is built from makes it due, whatever rule owns the path: its Dockerfile, its
template, and what they lead to.
"""

import json
import time
from pathlib import Path

import pytest

from tests.names.shop import RULES, Shop
from tests.support.repo import Repo
from toolkit.changes.inputs import CommitTree, WorkTree, follow, used
from toolkit.model import Inputs
from toolkit.ports.git import Git
from toolkit.targets.stack.kind import kind as stack
from toolkit.targets.stack.references import local_paths

pytestmark = pytest.mark.slow("git", keep=20, of="file")

ELSEWHERE = "docker/Dockerfile.base"


def base(shop: Shop) -> Repo:
    """The fault as it was found: the Dockerfile is in a folder that another rule owns."""
    rules = RULES.replace('context = "backend"', f'context = "backend", dockerfile = "{ELSEWHERE}"')
    shop.repo.git("rm", "-q", "backend/Dockerfile")
    files = {"rules.toml": rules, ELSEWHERE: "FROM scratch\nCOPY . /srv/\n"}
    shop.repo.commit("elsewhere", dict(files))
    return shop.repo


def due(shop: Shop, *args: str) -> list[str]:
    """The targets that are due against the commit before."""
    states = shop.documents("diff", *(args or ("HEAD~1",)))["states"]
    return sorted(name for name, state in states.items() if state == "due")


def test_a_dockerfile_that_another_rule_owns_makes_its_app_due(shop: Shop) -> None:
    base(shop).commit("edit", {ELSEWHERE: "FROM scratch\nENV A=1\nCOPY . /srv/\n"})
    assert due(shop) == ["web"]
    text = shop("diff", "-v", "HEAD~1").out
    assert "web is built from docker/Dockerfile.base" in " ".join(text.split())


def test_it_is_due_against_what_was_deployed_and_clean_after_it(shop: Shop) -> None:
    repo = base(shop)
    shop.deploy()
    assert shop.state() == "clean"
    repo.write({ELSEWHERE: "FROM scratch\nENV A=1\nCOPY . /srv/\n"})
    assert shop.state() == "due"
    shop.deploy()
    assert ("-dirty-" in shop.tag, shop.state()) == (True, "clean")
    repo.commit("edit")
    assert shop.state() == "clean"
    repo.commit("edit again", {ELSEWHERE: "FROM scratch\nENV A=2\nCOPY . /srv/\n"})
    assert shop.state() == "due"
    shop.deploy()
    assert (shop.tag, shop.state()) == (repo.head, "clean")


def test_its_content_is_in_the_fingerprint(shop: Shop) -> None:
    repo = base(shop)
    first = fingerprint(shop)
    repo.commit("other", {"docker/other": "x\n"})
    assert fingerprint(shop) == first
    repo.commit("edit", {ELSEWHERE: "FROM scratch\nENV A=1\nCOPY . /srv/\n"})
    assert fingerprint(shop) != first


def fingerprint(shop: Shop) -> str:
    """That of the app's content now."""
    shop.deploy()
    service = shop.endpoint.ecs.find("web", "main")
    tags = shop.endpoint.ecs.definitions[service.definition].tags
    return next(tag["value"] for tag in tags if tag["key"] == "toolkit:fingerprint")


@pytest.mark.parametrize("path", ["docker/Dockerfile.base.dockerignore", "backend/.dockerignore"])
def test_what_says_which_files_stay_out_counts_when_it_comes_and_goes(
    shop: Shop, path: str
) -> None:
    repo = base(shop)
    repo.git("rm", "-q", "backend/.dockerignore")
    text = (repo.path / "rules.toml").read_text()
    text = text.replace('"backend/**"', '"backend/*.py"').replace('"lib/**"', '"backend/.*"')
    repo.commit("rules", {"rules.toml": text})
    repo.commit("comes", {path: "*.md\n"})
    assert due(shop) == ["web"]
    repo.git("rm", "-q", path)
    repo.commit("goes")
    assert due(shop) == ["web"]


def test_a_dockerfile_that_is_a_link_counts_with_what_it_leads_to(shop: Shop) -> None:
    repo = shop.repo
    repo.git("rm", "-q", "backend/Dockerfile")
    repo.write({"docker/v1/Dockerfile": "FROM scratch\nCOPY . /srv/\n", "docker/v2/x": "x\n"})
    (repo.path / "docker/current").symlink_to("v1")
    (repo.path / "backend/Dockerfile").symlink_to("../docker/current/Dockerfile")
    repo.commit("linked")
    repo.commit("edit", {"docker/v1/Dockerfile": "FROM scratch\nENV A=1\nCOPY . /srv/\n"})
    assert (due(shop), due(shop, "HEAD~1..HEAD")) == (["web"], ["web"])
    assert due(shop, "--committed", "HEAD~1") == ["web"]
    repo.commit("unused", {"docker/v2/Dockerfile": "FROM scratch\n"})
    assert due(shop) == []
    (repo.path / "docker/current").unlink()
    (repo.path / "docker/current").symlink_to("v2")
    repo.commit("moved on")
    assert due(shop) == ["web"]
    assert due(shop, "HEAD..HEAD~1") == ["web"]  # at an old point, too


def test_a_dockerfile_that_was_moved_is_due_from_either_side(shop: Shop) -> None:
    repo = base(shop)
    old = repo.head
    repo.git("mv", ELSEWHERE, "docker/Dockerfile")
    text = (repo.path / "rules.toml").read_text().replace(ELSEWHERE, "docker/Dockerfile")
    new = repo.commit("moved", {"rules.toml": text})
    assert "web" in due(shop, old)
    assert "web" in due(shop, f"{new}..{old}")


def test_a_folder_that_became_a_link_is_due(shop: Shop) -> None:
    repo = base(shop)
    repo.git("mv", "docker", "images")
    (repo.path / "docker").symlink_to("images")
    text = (repo.path / "rules.toml").read_text().replace('"docker/**"', '"docker/**", "images/**"')
    repo.commit("link", {"rules.toml": text})
    repo.commit("edit", {"images/Dockerfile.base": "FROM scratch\nENV A=1\nCOPY . /srv/\n"})
    assert (due(shop), due(shop, "--committed", "HEAD~1")) == (["web"], ["web"])


def test_a_dockerfile_in_a_submodule_is_due_with_the_submodule(shop: Shop) -> None:
    inner = Repo.make(shop.folder / "images", {"Dockerfile": "FROM scratch\n"}, rules=None)
    allow = ("-c", "protocol.file.allow=always")
    shop.repo.git(*allow, "submodule", "add", "-q", f"file://{inner.path}", "docker/images")
    dockerfile = 'context = "backend", dockerfile = "docker/images/Dockerfile"'
    rules = RULES.replace('context = "backend"', dockerfile).replace('"docker/**"', '"docker/*"')
    shop.repo.commit("submodule", {"rules.toml": rules})
    Repo(shop.repo.path / "docker/images").commit("edit", {"Dockerfile": "FROM scratch\nENV A=1\n"})
    shop.repo.commit("raised")
    assert due(shop) == ["web"]


def test_a_link_out_of_the_repository_is_not_followed(shop: Shop, tmp_path: Path) -> None:
    outside = tmp_path / "outside.yaml"
    outside.write_text("Resources: {F: {Properties: {CodeUri: ../docs}}}\n")
    shop.repo.git("rm", "-q", "infra/jobs.json")
    (shop.repo.path / "infra").mkdir(exist_ok=True)
    (shop.repo.path / "infra/jobs.json").symlink_to(outside)
    shop.repo.commit("out")
    shop.repo.commit("docs", {"docs/x": "x\n"})
    assert due(shop) == []


def test_explain_and_replay_know_of_it(shop: Shop) -> None:
    base(shop).commit("edit", {ELSEWHERE: "FROM scratch\nENV A=1\nCOPY . /srv/\n"})
    text = shop("explain", ELSEWHERE).out
    assert "deploys web" in text
    assert "web is built from it, whatever the rules say" in text
    [actual] = shop.documents("explain", ELSEWHERE)["paths"]
    assert (actual["targets"], actual["built_from_it"]) == (["web"], ["web"])
    replayed = shop("rules", "replay", "--json", "-n", "1").out.splitlines()
    assert json.loads(replayed[0])["targets"] == ["web"]


def test_what_ignore_covers_calls_for_nothing(shop: Shop) -> None:
    rules = RULES.replace("version = 1\n", 'version = 1\nignore = ["docker/**"]\n')
    dockerfile = f'context = "backend", dockerfile = "{ELSEWHERE}"'
    rules = rules.replace('context = "backend"', dockerfile)
    shop.repo.commit("ignored", {"rules.toml": rules, ELSEWHERE: "FROM scratch\n"})
    shop.repo.commit("edit", {ELSEWHERE: "FROM scratch\nENV A=1\n"})
    assert due(shop) == []


def test_paths_from_a_list_call_for_what_is_built_from_them(shop: Shop) -> None:
    base(shop)
    paths = shop.folder / "paths"
    paths.write_text(f"{ELSEWHERE}\n")
    assert due(shop, "--paths-from", str(paths)) == ["web"]


def test_a_path_of_an_environment_is_filled_in(shop: Shop) -> None:
    dockerfile = 'context = "backend", dockerfile = "docker/{stage}.Dockerfile"'
    rules = RULES.replace('context = "backend"', dockerfile)
    rules = rules.replace("protected = true\n", 'protected = true\nvars = { stage = "prod" }\n')
    rules = rules.replace("[environments.dev]\n", '[environments.dev]\nvars = { stage = "dev" }\n')
    shop.repo.commit("stages", {"rules.toml": rules, "docker/prod.Dockerfile": "FROM scratch\n"})
    shop.repo.commit("edit", {"docker/prod.Dockerfile": "FROM scratch\nENV A=1\n"})
    assert due(shop) == []
    assert due(shop, "--env", "prod", "HEAD~1") == ["web"]


NESTED = """\
Resources:
  Inner:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: ../docs/inner.yaml
"""
INNER = """\
Resources:
  Function:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: code/
"""


def nested(shop: Shop) -> Repo:
    """A stack whose template nests another one that names a folder of code, none of which its rules
    own.
    """
    text = RULES.replace("infra/jobs.json", "infra/outer.yaml").replace('"infra/**"', '"infra/x"')
    text = text.replace('"lib/**"', '"infra/**"')
    files = {"infra/outer.yaml": NESTED, "docs/inner.yaml": INNER, "docs/code/f.py": "f\n"}
    shop.repo.commit("nested", {"rules.toml": text, **files})
    return shop.repo


@pytest.mark.slow("sweeps", keep=2)
@pytest.mark.parametrize("path", ["infra/outer.yaml", "docs/inner.yaml", "docs/code/f.py"])
@pytest.mark.parametrize("how", [("HEAD~1",), ("--committed", "HEAD~1")])
def test_a_template_counts_with_what_it_nests_and_names(
    shop: Shop, path: str, how: tuple[str, ...]
) -> None:
    repo = nested(shop)
    repo.commit("elsewhere", {"docs/other.py": "x\n"})
    assert due(shop, *how) == []
    repo.commit("edit", {path: (repo.path / path).read_text() + "# edited\n"})
    assert due(shop, *how) == ["jobs"]


@pytest.mark.parametrize("name", ["cdk.json", "cdk.context.json"])
def test_cdk_json_makes_every_stack_of_its_app_due(shop: Shop, name: str) -> None:
    rules = RULES.replace('template = "infra/jobs.json"', 'cdk = "infra"')
    rules = rules.replace('"infra/**"', '"infra/*.py"').replace('"lib/**"', '"infra/*.json"')
    shop.repo.commit("cdk", {"rules.toml": rules, f"infra/{name}": "{}"})
    shop.repo.commit("flag", {f"infra/{name}": '{"context": {"a": true}}'})
    assert due(shop) == ["jobs"]


def test_doctor_names_what_a_dockerfile_elsewhere_copies_and_no_rule_sends_to_its_app(
    shop: Shop,
) -> None:
    """Whatever the Dockerfile is called."""
    dockerfile = 'context = ".", dockerfile = "docker/web.docker"'
    rules = RULES.replace('context = "backend"', dockerfile)
    copy = "FROM scratch\nCOPY backend docs /srv/\n"
    shop.repo.commit("odd name", {"rules.toml": rules, "docker/web.docker": copy, "docs/a": "x\n"})
    doctor = shop("doctor")
    assert (doctor.code, "docker/web.docker:2: copies 1 file" in doctor.out) == (1, True)
    accepted = rules.replace(
        "version = 1\n", 'version = 1\naccept = [{ path = "docs/**", reason = "pages" }]\n'
    )
    shop.repo.commit("accepted", {"rules.toml": accepted})
    assert shop("doctor").code == 0


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("CodeUri: src/", ["t/src"]),
        ('{"CodeUri": "src", "TemplateURL": "../a.json"}', ["a.json", "t/src"]),
        ("Properties: {CodeUri: ./src, Handler: x}", ["t/src"]),
        ("TemplateURL:\n    nested.yaml", ["t/nested.yaml"]),
        ("Fn::Transform: {Name: AWS::Include, Parameters: {Location: 'inc.yaml'}}", ["t/inc.yaml"]),
        ("CodeUri: s3://bucket/key", []),
        ("TemplateURL: https://example.com/t.yaml", []),
        ("TemplateURL: !Sub '${Bucket}/t.yaml'", []),
        ("Code: ../../../etc", []),
        ("CodeUri: /etc", []),
        ("ContentUri: .", ["t"]),
    ],
)
def test_the_local_paths_of_a_template(text: str, paths: list[str]) -> None:
    assert list(local_paths("t/template.yaml", text)) == paths


def test_a_hostile_template_is_read_in_a_moment() -> None:
    began = time.process_time()
    for text in ("Code:" + "\n" * 1_000_000, "Code: " * 160_000, "CodeUri: " + "a" * 1_000_000):
        local_paths("t.yaml", text)
    assert time.process_time() - began < 5


def test_a_ring_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert follow("a/x", WorkTree(str(tmp_path)))[1] is None


def test_templates_that_nest_each_other_end(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("TemplateURL: b.yaml\n")
    (tmp_path / "b.yaml").write_text("TemplateURL: a.yaml\n")
    input_targets = used(
        {"s": Inputs(files=("a.yaml",))}, {"s": stack.linked}, WorkTree(str(tmp_path))
    )
    assert [set(input_targets.by(path)) for path in ("a.yaml", "b.yaml", "c.yaml")] == [
        {"s"},
        {"s"},
        set(),
    ]


def test_more_files_than_anybody_reads_make_everything_count(tmp_path: Path) -> None:
    """Where nobody reads on, nothing narrower is known."""
    for position in range(1_100):
        (tmp_path / f"{position}.yaml").write_text(f"TemplateURL: {position + 1}.yaml\n")
    input_targets = used(
        {"s": Inputs(files=("0.yaml",))}, {"s": stack.linked}, WorkTree(str(tmp_path))
    )
    assert input_targets.by("anything/at/all") == {"s"}


def test_a_commit_and_the_files_on_disk_tell_the_same(tmp_path: Path) -> None:
    repo = Repo.make(tmp_path / "repo", {"real/x.json": json.dumps({"CodeUri": "c"})}, rules=None)
    (repo.path / "link").symlink_to("real")
    (repo.path / "out").symlink_to("/etc")
    repo.commit("links", {"real/c/f": "f"})
    git = Git.open(str(repo.path))
    for path in ("link/x.json", "out/passwd", "real/none", "none", "real"):
        document, linked = {"s": Inputs(files=(path,))}, {"s": stack.linked}
        on_disk = used(document, linked, WorkTree(git.root))
        committed = used(document, linked, CommitTree(git, repo.head))
        assert on_disk == committed
