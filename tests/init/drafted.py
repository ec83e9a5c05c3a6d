"""A repository in a dictionary, what the survey makes of it, and what its draft then says of a
change.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit import targets
from toolkit.config.rules import load
from toolkit.impact.touch import RuleBook
from toolkit.init.account import Account
from toolkit.init.coverage import ImageFiles, UncoveredSource, uncovered_sources
from toolkit.init.draft import draft_to_toml
from toolkit.init.evidence import Evidence
from toolkit.init.repository_draft import RepositoryDraft, draft_repository
from toolkit.model import Change, ChangeStatus, Rules
from toolkit.plan.graph import Graph


class DraftedRepository:
    """The draft for a tree of path -> text, with evidence from elsewhere. Its draft has to be a
    rules.toml that loads.
    """

    def __init__(
        self,
        tree: Mapping[str, str],
        project: str = "shop",
        more: Sequence[Evidence] = (),
        account: Account | None = None,
    ) -> None:
        self.tree = tree
        self.survey: RepositoryDraft = draft_repository(
            list(tree), tree.get, project, more, account
        )
        self.text = draft_to_toml(self.survey.draft)
        self.rules: Rules = load(
            self.text.encode(), "rules.toml", targets.kind, tuple(targets.KINDS), draft=True
        )
        self._book = RuleBook(self.rules, Graph(self.rules.targets).covered)

    @property
    def targets(self) -> dict[str, str]:
        """The name of each target, and its kind, without the group of all of them."""
        listed = self.survey.draft.targets
        return {target.name: target.kind for target in listed if target.kind != "group"}

    def comment(self, target: str) -> str:
        """What stands above a target."""
        (result,) = (item for item in self.survey.draft.targets if item.name == target)
        return "\n".join(result.comment)

    @property
    def seen(self) -> dict[str, str]:
        """What was seen and not drafted: where -> what."""
        return {row.where: row.what for row in self.survey.seen}

    @property
    def notes(self) -> str:
        return "\n".join(self.survey.notes)

    @property
    def questions(self) -> str:
        return "\n".join(question.text for question in self.survey.questions)

    def setting(self, target: str, key: str) -> Any:
        """What the draft says of one target."""
        (result,) = (item for item in self.survey.draft.targets if item.name == target)
        return result.needs if key == "needs" else result.settings[key]

    def due(self, path: str) -> list[str] | str:
        """The targets that a change of a path calls for, or `ignored`, or `everything`, if no rule
        matches it.
        """
        if self._book.ignores(path):
            return "ignored"
        hits = [
            self.rules.rules[rule]
            for rule, _ in self._book.matching(Change(path, ChangeStatus.MODIFIED))
        ]
        deploy = self._book.narrowest(name for rule in hits for name in rule.deploy)
        return sorted(deploy) or "everything"

    def forgotten(self) -> tuple[UncoveredSource, ...]:
        """What the images take that the draft's own rules do not send to their apps."""
        apps = {
            target.settings["build"]["dockerfile"]: target  # type: ignore[index]
            for target in self.survey.draft.targets
            if target.kind == "app"
        }
        rules = self.survey.draft.rules
        images = ImageFiles(
            {path: self.tree[path] for path in apps},
            {path: item.settings["build"]["context"] for path, item in apps.items()},  # type: ignore[index]
            {
                path: frozenset(
                    position for position, rule in enumerate(rules) if item.name in rule.deploy
                )
                for path, item in apps.items()
            },
            {
                path: text
                for path, text in self.tree.items()
                if path.endswith(".dockerignore") and text
            },
        )
        return uncovered_sources(
            images,
            [rule.paths for rule in rules],
            self.survey.draft.ignore,
            [path for path in self.tree if "\0" not in path],
            (),
        )
