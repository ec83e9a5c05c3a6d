"""The nouns of template truth: what a stack is, how two of them differ, and what that does.

All are frozen and can be written and read again with msgspec (`msgspec.json.encode(stack)`,
`msgspec.json.decode(text, type=SynthesizedStack)`), for a cache or a record.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

from toolkit.formats.cdk_manifest import Remark

Path = tuple[str | int, ...]
"""Where a value stands in a template: keys and numbers, from the top."""


class AssetKind(StrEnum):
    """What an asset is."""

    FILE = "file"
    """A file or folder, in a bucket."""
    IMAGE = "image"
    """A container image."""


class Asset(Struct, frozen=True):
    """Something that a stack needs beside its template.

    `content` identifies what is in it: the CDK's key of the asset, or a digest. `options` say how
    it is built or packed (packaging, build arguments, target, platform, file). `name` is for
    people, and never compared.
    """

    kind: AssetKind
    content: str
    options: Mapping[str, Any] = {}
    name: str = ""


class SynthesizedStack(Struct, frozen=True):
    """A stack as an app, SAM or a person's own template says that it has to be.

    `id` is its hierarchical id (`Prod/Data`), `name` that of the stack in CloudFormation; `account`
    and `region` are None where the app leaves them open. `template` is cleaned (clean.py): nothing
    in it that is not deployed. `nested` holds the cleaned templates of nested stacks, by their
    logical ids, joined by slashes where they are nested deeper.

    `missing` are the reasons why nothing reliable can be said of it, empty if there are none. While
    there are any, it may be neither compared nor cached nor recorded: its content may be made up.
    """

    id: str
    name: str
    account: str | None
    region: str | None
    template: Mapping[str, Any]
    parameters: Mapping[str, str] = {}
    tags: Mapping[str, str] = {}
    protected: bool = False
    """Termination protection."""
    role: str = ""
    """The role that CloudFormation acts as, empty for the caller's own permissions."""
    notifications: tuple[str, ...] = ()
    """The topics that CloudFormation tells of what happens."""
    assets: tuple[Asset, ...] = ()
    nested: Mapping[str, Mapping[str, Any]] = {}
    dependencies: tuple[str, ...] = ()
    """The ids of the stacks that have to be deployed before it; sorted."""
    missing: tuple[str, ...] = ()
    undeployed: Mapping[str, str] = {}
    """What cleaning took out that a person might look for (CDKMetadata, BootstrapVersion), with a
    digest of each: a difference there is told, but nothing is deployed by it.
    """
    labels: Mapping[str, str] = {}
    """Logical id -> the path of its construct in the app (`Data/Table`), as far as it is known.
    With those of nested stacks (`Nested/LogicalId`).
    """
    remarks: tuple[Remark, ...] = ()
    """What its app remarks about it, for people: never compared, and not recorded."""


class StackState(StrEnum):
    """How a stack differs from what it is compared with."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"
    UNKNOWN = "unknown"
    """It cannot be known whether it changes, so it counts as due."""


class Change(StrEnum):
    """What happens to something between two templates."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    RENAMED = "renamed"
    """Only its logical id is another one: CloudFormation makes a new one and deletes the old
    one.
    """


class Part(StrEnum):
    """The parts of a stack that are no resources."""

    DESCRIPTION = "description"
    OUTPUT = "output"
    PARAMETER = "parameter"
    """A parameter that the template declares."""
    VALUE = "parameter value"
    """What is passed for a parameter."""
    TAG = "tag"
    CONDITION = "condition"
    MAPPING = "template mapping"
    RULE = "rule"
    METADATA = "metadata"
    TRANSFORM = "transform"
    PROTECTION = "termination protection"
    ROLE = "role"
    NOTIFICATIONS = "notifications"
    ASSET = "asset"
    OTHER = "other"
    """A section that CloudFormation may know and toolkit does not."""


class ValueDifference(Struct, frozen=True):
    """A value that differs. `path` is where it stands: within the resource
    (`("Properties", "BucketName")`), or within the part.

    `before` and `after` are shortened texts for people, None where there is no value. Secrets in
    them are replaced, so that a difference may show nothing but that there is one.
    """

    path: Path
    before: str | None
    after: str | None


class ResourceDifference(Struct, frozen=True):
    """A resource that differs. `logical_id` is that of the newer template (of the older for a
    removed one), with the nested stacks around it before it, joined by slashes.

    `old` and `new` are the cleaned resources, empty where there is none.
    """

    logical_id: str
    type: str
    change: Change
    values: tuple[ValueDifference, ...] = ()
    previous_id: str = ""
    """The logical id before it was renamed, empty if it was not."""
    previous_type: str = ""
    """Its type before, where that is another one."""
    label: str = ""
    """The path of its construct, empty if it is not known."""
    old: Mapping[str, Any] = {}
    new: Mapping[str, Any] = {}


class PartDifference(Struct, frozen=True):
    """Something beside the resources that differs. `name` is that of the output, parameter, tag and
    so on, empty where there is only one. That of a nested stack begins with its logical id and a
    slash.
    """

    part: Part
    name: str
    change: Change
    values: tuple[ValueDifference, ...] = ()


class CodeDifference(Struct, frozen=True):
    """A function or container that gets other code. `container` is the name of the container of a
    task definition, empty for a function.
    """

    logical_id: str
    type: str
    container: str = ""
    label: str = ""


class StackComparison(Struct, frozen=True):
    """How a stack differs from what it was before. `why` says why its state is unknown."""

    id: str
    name: str
    account: str | None
    region: str | None
    state: StackState
    resources: tuple[ResourceDifference, ...] = ()
    parts: tuple[PartDifference, ...] = ()
    unstable: tuple[str, ...] = ()
    """The logical ids of resources, and names of parts, that differ between two syntheses of the
    same commit.
    """
    why: tuple[str, ...] = ()
    undeployed: tuple[str, ...] = ()
    """What differs, but is not deployed: CDKMetadata, BootstrapVersion."""
    code: tuple[CodeDifference, ...] = ()
    """Whose code differs, in all resources."""
    only_code: bool = False
    """Whether nothing differs but `code`, and what follows from it: a narrower command will do."""
    previous_id: str = ""
    """Its hierarchical id before, where only that is another one."""

    @property
    def is_due(self) -> bool:
        """Whether it has to be deployed, as far as is known."""
        return self.state is not StackState.UNCHANGED


class Replacement(StrEnum):
    """Whether an update makes a resource anew."""

    NEVER = "no"
    MAYBE = "maybe"
    ALWAYS = "yes"


class Verdict(Struct, frozen=True):
    """What the two sources say of a property, None where one does not know it."""

    path: Path
    cfn_lint: Replacement | None
    cdk: Replacement | None
    reason: str = ""
    """Why it is more than that: `refers to Data, which is replaced`."""


class Prediction(Struct, frozen=True):
    """Whether a changed resource is replaced, and the properties that decide it."""

    logical_id: str
    type: str
    replacement: Replacement
    verdicts: tuple[Verdict, ...] = ()
    by_change_set: bool = False
    """Whether CloudFormation itself has said so."""


class Loss(Struct, frozen=True):
    """A resource that is deleted or replaced although it holds data.

    `kept` is the policy by which its data stays (`Retain`, `Snapshot`), empty if it is lost;
    `certain` is whether it is deleted or replaced in any case. `cause` says what happens to it, for
    people: `deleted`, `replaced`, `may be replaced`, `deleted under its old name`.
    """

    logical_id: str
    type: str
    cause: str
    kept: str = ""
    certain: bool = True
    label: str = ""


class Broadening(Struct, frozen=True):
    """A resource that lets somebody do more than before. `what` says it for people: `grants
    permissions`, `open to the internet`. `details` are the statements, rules or settings that do
    it, shortened.
    """

    logical_id: str
    type: str
    what: str
    details: tuple[str, ...] = ()
    label: str = ""


class ExaminedStack(Struct, frozen=True):
    """A comparison with what it means for what is live."""

    comparison: StackComparison
    predictions: Mapping[str, Prediction] = {}
    losses: tuple[Loss, ...] = ()
    broadenings: tuple[Broadening, ...] = ()
