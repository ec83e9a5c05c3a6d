"""What a repository runs to deploy: the steps of CI workflows, Makefiles, package.json and scripts,
as jobs of shell texts and actions.
"""

import json
import re
from collections.abc import Iterator, Mapping
from posixpath import basename, dirname
from posixpath import join as joined

from msgspec import Struct
from msgspec.structs import replace

from toolkit.init.ci_expressions import Contexts, combinations
from toolkit.init.located_yaml import Text, located_yaml, table, texts
from toolkit.init.stages import without_stage
from toolkit.init.tree import TrackedFiles, clean_path

_WORKFLOW = re.compile(r"\.github/workflows/[^/]+\.ya?ml\Z")
_OTHER_CI = re.compile(
    r"(?:\A|/)(?:\.gitlab-ci\.ya?ml|\.gitlab/.*\.ya?ml|\.circleci/.*\.ya?ml|\.travis\.ya?ml"
    r"|bitbucket-pipelines\.ya?ml|azure-pipelines[^/]*\.ya?ml|[^/]*buildspec[^/]*\.ya?ml"
    r"|\.drone\.ya?ml|\.semaphore/.*\.ya?ml|\.buildkite/.*\.ya?ml|codefresh\.ya?ml"
    r"|\.woodpecker\.ya?ml|\.woodpecker/.*\.ya?ml|[Tt]askfile\.ya?ml)\Z"
)
_MAKEFILE = re.compile(r"(?:\A|/)(?:GNUmakefile|[Mm]akefile|[^/]+\.mk|[Jj]ustfile)\Z")
_SHEBANG = re.compile(r"#!.*\b(?:ba|z|da|k)?sh\b")
_RUN_KEYS = {
    "run",
    "script",
    "before_script",
    "after_script",
    "command",
    "commands",
    "cmds",
    "cmd",
    "sh",
    "bash",
    "inlinescript",
    "install",
    "deploy",
    "before_deploy",
    "after_success",
}
_ON_PULL_REQUESTS = {
    "pull_request",
    "pull_request_target",
    "pull_request_review",
    "merge_group",
    "issue_comment",
}
_TRIALS = {"e2e", "pr", "preview", "review", "integration", "pullrequest", "ephemeral"}
_MOST_CHOICES = 10
_NESTED_CALLS = 4


class Step(Struct, frozen=True):
    """A shell text (`text`), or an action (`uses`) with its inputs. `line` is where the text
    begins.
    """

    line: int
    text: str = ""
    uses: str = ""
    inputs: Mapping[str, str] = {}
    folder: str = ""
    variables: Mapping[str, str] = {}


class Job(Struct, frozen=True):
    """Steps that run one after the other. `shared`: in one shell. `home` is a script's folder. What
    a `trial` deploys is gone after the test, or belongs to a pull request.
    """

    file: str
    name: str
    steps: tuple[Step, ...]
    environment: str = ""
    shared: bool = False
    home: str | None = None
    trial: bool = False


def is_workflow(path: str) -> bool:
    """Whether GitHub runs a file."""
    return bool(_WORKFLOW.match(path))


def says_steps(path: str) -> bool:
    """Whether a file's name is that of a CI configuration, a Makefile, a package.json or a shell
    script.
    """
    name = basename(path)
    return (
        is_workflow(path)
        or bool(_OTHER_CI.search(path) or _MAKEFILE.search(path))
        or name == "package.json"
        or name.endswith((".sh", ".bash"))
        or (
            "." not in name
            and dirname(path).rpartition("/")[2] in ("bin", "scripts", "script", "ci")
        )
    )


def read_jobs(tree: TrackedFiles) -> tuple[list[Job], list[str]]:
    """All jobs of the repository, and the files that could not be read."""
    jobs: list[Job] = []
    unread: list[str] = []
    workflows: dict[str, Mapping[str, object]] = {}
    for path in tree.candidates:
        if not says_steps(path):
            continue
        text = tree.read(path)
        if text is None:
            unread.append(f"{path}: could not be read")
            continue
        try:
            if is_workflow(path):
                workflows[path] = table(located_yaml(text))
            elif _OTHER_CI.search(path):
                jobs += _yaml_jobs(path, located_yaml(text))
            elif _MAKEFILE.search(path):
                jobs += _makefile_jobs(path, text)
            elif basename(path) == "package.json":
                jobs += _package_jobs(path, text)
            elif path.endswith((".sh", ".bash")) or _SHEBANG.match(text):
                jobs.append(_script_job(path, text))
        except ValueError as error:
            unread.append(f"{path}: could not be read ({error})")
    jobs += _Workflows(tree, workflows).jobs()
    return jobs, unread


class _Workflows:
    """GitHub's workflows, those that others call with their inputs among them."""

    def __init__(self, tree: TrackedFiles, workflows: Mapping[str, Mapping[str, object]]) -> None:
        self._tree, self._workflows = tree, workflows
        self._called: set[str] = set()

    def jobs(self) -> list[Job]:
        """The jobs of all workflows. One that is called counts as it is called."""
        jobs: list[Job] = []
        for path, workflow in self._workflows.items():
            if not _is_only_called(workflow):
                for inputs in _choices(workflow):
                    jobs += self._jobs(path, Contexts(inputs=inputs), 0)
        for path, workflow in self._workflows.items():
            if _is_only_called(workflow) and path not in self._called:
                jobs += self._jobs(path, Contexts(inputs=_defaults(workflow)), 0)
        return jobs

    def _jobs(self, path: str, contexts: Contexts, depth: int) -> Iterator[Job]:
        workflow = self._workflows[path]
        env = {**_scalars(workflow.get("env"), contexts)}
        outer = replace(contexts, env=env)
        for name, value in table(workflow.get("jobs")).items():
            job = table(value)
            for matrix in combinations(job.get("strategy")):
                inner = replace(outer, matrix=matrix)
                inner = replace(inner, env={**env, **_scalars(job.get("env"), inner)})
                uses = str(job.get("uses") or "")
                if uses.startswith("./"):
                    yield from self._call(path, str(name), inner, depth)
                    continue
                folder = _working_directory(workflow, job, inner)
                # A workflow of another repository is told by its name, as an action is.
                listed = [job] if uses else job.get("steps")
                steps = tuple(self._steps(listed, inner, folder, depth))
                if steps:
                    trial = _is_trial(path, str(name), workflow)
                    yield Job(path, str(name), steps, _environment(job, inner), trial=trial)

    def _call(self, path: str, name: str, contexts: Contexts, depth: int) -> Iterator[Job]:
        """The jobs of a workflow that a job calls."""
        caller = self._workflows[path]
        job = table(table(caller.get("jobs")).get(name))
        uses = str(job.get("uses"))
        target = clean_path(uses)
        if target not in self._workflows or depth >= _NESTED_CALLS:
            return
        self._called.add(target)
        inputs = {**_defaults(self._workflows[target]), **_scalars(job.get("with"), contexts)}
        for called in self._jobs(target, Contexts(inputs=inputs), depth + 1):
            # Two calls of one workflow are two jobs.
            suffix = ",".join(sorted(inputs.values()))
            trial = called.trial or _is_trial(path, name, caller)
            yield replace(called, name=f"{called.name}({suffix})", trial=trial)

    def _steps(self, listed: object, contexts: Contexts, folder: str, depth: int) -> Iterator[Step]:
        for value in listed if isinstance(listed, list) else []:
            step = table(value)
            inner = replace(contexts, env={**contexts.env, **_scalars(step.get("env"), contexts)})
            run, uses = step.get("run"), step.get("uses")
            where = clean_path(inner.fill(str(step.get("working-directory") or folder or ".")))
            if isinstance(run, Text):
                yield Step(run.line, inner.fill(run), folder=where, variables=inner.env)
            elif isinstance(uses, Text) and uses.startswith("./"):
                yield from self._local_action(uses, step, inner, depth)
            elif isinstance(uses, Text):
                inputs = _scalars(step.get("with"), inner)
                yield Step(uses.line, "", str(uses), inputs, where, inner.env)

    def _local_action(
        self, uses: str, step: Mapping[str, object], contexts: Contexts, depth: int
    ) -> Iterator[Step]:
        """The steps of an action of the repository. They are told by the line that uses it."""
        folder = clean_path(uses)
        for name in ("action.yml", "action.yaml"):
            text = self._tree.read(joined(folder, name))
            if text is None or depth >= _NESTED_CALLS:
                continue
            try:
                action = table(located_yaml(text))
            except ValueError:
                return
            inputs = {**_input_defaults(action), **_scalars(step.get("with"), contexts)}
            inner = Contexts(contexts.env, inputs)
            listed = table(action.get("runs")).get("steps")
            line = uses.line if isinstance(uses, Text) else 0
            for inner_step in self._steps(listed, inner, "", depth + 1):
                yield replace(inner_step, line=line)


def _is_trial(path: str, job: str, workflow: Mapping[str, object]) -> bool:
    """Whether a workflow runs for pull requests alone, or is a test by its name."""
    triggers = workflow.get("on")
    names: list[str] = []
    if isinstance(triggers, Text):
        names = [triggers]
    elif isinstance(triggers, list | dict):
        names = list(map(str, triggers))
    words = set(re.split(r"[^a-z0-9]+", f"{basename(path).partition('.')[0]} {job}".lower()))
    return bool(names and _ON_PULL_REQUESTS.issuperset(names)) or bool(words & _TRIALS)


def _is_only_called(workflow: Mapping[str, object]) -> bool:
    triggers = workflow.get("on")
    return isinstance(triggers, dict) and list(triggers) == ["workflow_call"]


def _defaults(workflow: Mapping[str, object]) -> dict[str, str]:
    """The defaults of a workflow's inputs, however it is started."""
    defaults: dict[str, str] = {}
    for trigger in ("workflow_call", "workflow_dispatch"):
        defaults |= _input_defaults(table(table(workflow.get("on")).get(trigger)))
    return defaults


def _choices(workflow: Mapping[str, object]) -> list[dict[str, str]]:
    """The inputs of a workflow that a person starts: once for each environment that is offered."""
    defaults = _defaults(workflow)
    trigger = table(table(workflow.get("on")).get("workflow_dispatch"))
    for name, value in table(trigger.get("inputs")).items():
        options = [str(option) for option in texts(table(value).get("options"))]
        if options and all(without_stage(option)[1] for option in options):
            return [{**defaults, str(name): option} for option in options[:_MOST_CHOICES]]
    return [defaults]


def _input_defaults(holder: Mapping[str, object]) -> dict[str, str]:
    inputs = table(holder.get("inputs")).items()
    return {
        str(name): str(table(value)["default"])
        for name, value in inputs
        if isinstance(table(value).get("default"), Text)
    }


def _scalars(value: object, contexts: Contexts | None = None) -> dict[str, str]:
    """The texts of a table, with their expressions filled in."""
    fill = (contexts or Contexts()).fill
    return {
        str(name): fill(inner) for name, inner in table(value).items() if isinstance(inner, Text)
    }


def _working_directory(
    workflow: Mapping[str, object], job: Mapping[str, object], contexts: Contexts
) -> str:
    for holder in (job, workflow):
        run = table(table(holder.get("defaults")).get("run"))
        if isinstance(run.get("working-directory"), Text):
            return clean_path(contexts.fill(run["working-directory"]))
    return ""


def _environment(job: Mapping[str, object], contexts: Contexts) -> str:
    value = job.get("environment")
    name = table(value).get("name") if isinstance(value, dict) else value
    filled = contexts.fill(name) if isinstance(name, Text) else ""
    return filled if re.fullmatch(r"[A-Za-z][\w-]{0,40}", filled) else ""


def _yaml_jobs(path: str, document: object) -> Iterator[Job]:
    """The jobs of a CI configuration of another provider: each list of commands is one shell."""
    top = table(document)
    variables = _variables(top)
    folder = dirname(path) if basename(path).lower().startswith("taskfile") else ""
    if basename(path).startswith("buildspec") or "buildspec" in basename(path):
        # CodeBuild runs all phases in one shell.
        steps = tuple(_run_steps(top, variables, folder, 0))
        yield Job(path, "build", steps, shared=True)
        return
    for name, value in top.items():
        inner = table(value)
        groups = (
            inner.items()
            if name in ("jobs", "tasks", "pipelines", "workflows")
            else [(name, value)]
        )
        for job, content in groups:
            trial = bool(set(re.split(r"[^a-z0-9]+", str(job).lower())) & _TRIALS)
            own = {**variables, **_variables(table(content))}
            steps = tuple(_run_steps(content, own, folder, 0))
            if name in _RUN_KEYS:
                steps = tuple(_run_steps({name: value}, own, folder, 0))
            if steps:
                environment = table(content).get("environment")
                if isinstance(environment, dict):
                    environment = environment.get("name")
                plain = str(environment) if isinstance(environment, Text) else ""
                named = plain if plain.isidentifier() else ""
                yield Job(path, str(job), steps, named, True, trial=trial)


def _variables(holder: Mapping[str, object]) -> dict[str, str]:
    variables: dict[str, str] = {}
    for key in ("variables", "env", "environment", "vars"):
        entry = table(holder.get(key))
        variables |= _scalars(entry)
        variables |= _scalars(entry.get("variables"))
    return variables


def _run_steps(
    value: object, variables: Mapping[str, str], folder: str, depth: int
) -> Iterator[Step]:
    if depth > 20:
        return
    if isinstance(value, list):
        for entry in value:
            yield from _run_steps(entry, variables, folder, depth + 1)
        return
    holder = table(value)
    where = folder
    for key in ("working_directory", "workingDirectory", "dir"):
        if isinstance(holder.get(key), Text):
            where = clean_path(joined(folder, str(holder[key]).replace("~/project", ".")))
    for key, inner in holder.items():
        if key.lower() in _RUN_KEYS:
            for text in texts(inner):
                yield Step(text.line, str(text), folder=where, variables=variables)
        yield from _run_steps(inner, variables, where, depth + 1)


_MAKE_ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)\s*(?::=|::=|\?=|=)\s*(.*)\Z")
_MAKE_TARGET = re.compile(r"([^\s:=#][^:=#]*):(?!=)")
_MAKE_REFERENCE = re.compile(r"\$[({]([A-Za-z_]\w*)[)}]")


def _makefile_jobs(path: str, text: str) -> Iterator[Job]:
    """Each target with its recipe. Each of its lines has a shell of its own."""
    folder = dirname(path)
    variables: dict[str, str] = {}
    name, steps = "", list[Step]()
    # The references of a justfile look otherwise.
    is_make = basename(path).lower() != "justfile"
    for line, content in _joined_lines(text):
        if content[:1] in ("\t", " ") and name:
            recipe = content.strip().lstrip("@-+ ")
            if recipe:
                filled = _filled_make(recipe, variables) if is_make else recipe
                steps.append(Step(line, filled, folder=folder, variables=variables))
            continue
        assignment = _MAKE_ASSIGNMENT.match(content)
        if assignment:
            variables[assignment[1]] = _filled_make(assignment[2].strip(), variables)
            continue
        target = _MAKE_TARGET.match(content)
        if target:
            if steps:
                yield Job(path, name, tuple(steps))
            name, steps = target[1].strip().split()[0], []
    if steps:
        yield Job(path, name, tuple(steps))


def _filled_make(text: str, variables: Mapping[str, str]) -> str:
    """Make's references with their values; `$$` is the shell's `$`."""
    filled = _MAKE_REFERENCE.sub(
        lambda match: variables.get(match[1]) or "${" + match[1] + "}", text.replace("$$", "\0")
    )
    return re.sub(r"\$\(shell ([^()]*)\)", r"$(\1)", filled).replace("\0", "$")


def _joined_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with those that they are continued by, and the number of the first of them."""
    kept, start = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        if not kept:
            start = number
        if line.endswith("\\"):
            kept += f"{line[:-1]} "
            continue
        yield start, kept + line
        kept = ""
    if kept:
        yield start, kept


def _package_jobs(path: str, text: str) -> Iterator[Job]:
    """Each script of a package.json."""
    try:
        document = json.loads(text)
    except RecursionError:
        raise ValueError("it is too deep") from None
    scripts = document.get("scripts") if isinstance(document, dict) else None
    folder = dirname(path)
    lines = text.split("\n")
    for name, script in scripts.items() if isinstance(scripts, dict) else ():
        if not isinstance(script, str):
            continue
        start = json.dumps(name)
        line = next((at for at, row in enumerate(lines, 1) if row.strip().startswith(start)), 1)
        yield Job(path, name, (Step(line, script, folder=folder),))


def _script_job(path: str, text: str) -> Job:
    """A shell script. It is started in the root, unless it changes its folder itself."""
    return Job(path, "", (Step(1, text),), shared=True, home=dirname(path))
