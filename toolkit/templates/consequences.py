"""What cannot be undone, or lets somebody do more: shown apart from all else that differs."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from toolkit.formats.documents import as_mapping
from toolkit.templates.access import broadening
from toolkit.templates.differences import local_id, scope_of, templates_of
from toolkit.templates.model import (
    Broadening,
    Change,
    ExaminedStack,
    Loss,
    Prediction,
    Replacement,
    ResourceDifference,
    StackComparison,
    StackState,
    SynthesizedStack,
)
from toolkit.templates.references import references
from toolkit.templates.replacement import UNCERTAIN_PARTS, predict

HOLDS_DATA = frozenset(
    (
        "AWS::Backup::BackupVault",
        "AWS::Cassandra::Table",
        "AWS::Cognito::UserPool",
        "AWS::DocDB::DBCluster",
        "AWS::DynamoDB::GlobalTable",
        "AWS::DynamoDB::Table",
        "AWS::EC2::Volume",
        "AWS::ECR::Repository",
        "AWS::EFS::FileSystem",
        "AWS::ElastiCache::CacheCluster",
        "AWS::ElastiCache::ReplicationGroup",
        "AWS::Elasticsearch::Domain",
        "AWS::FSx::FileSystem",
        "AWS::KMS::Key",
        "AWS::Kinesis::Stream",
        "AWS::Logs::LogGroup",
        "AWS::MSK::Cluster",
        "AWS::Neptune::DBCluster",
        "AWS::OpenSearchService::Domain",
        "AWS::RDS::DBCluster",
        "AWS::RDS::DBInstance",
        "AWS::Redshift::Cluster",
        "AWS::S3::Bucket",
        "AWS::SecretsManager::Secret",
        "AWS::SQS::Queue",
        "AWS::Timestream::Table",
    )
)
"""Types whose resources cannot be made again with what was in them."""

REVISIONS = frozenset(
    (
        "AWS::ApiGateway::Deployment",
        "AWS::ApiGatewayV2::Deployment",
        "AWS::ECS::TaskDefinition",
        "AWS::Lambda::LayerVersion",
        "AWS::Lambda::Version",
    )
)
"""Types that are never changed but replaced: a new one is the normal way, and nobody has to
agree.
"""

_KEEPS = ("Retain", "RetainExceptOnCreate", "Snapshot")
"""The policies by which what was in a resource stays."""
_SNAPSHOTS = frozenset(
    (
        "AWS::DocDB::DBCluster",
        "AWS::EC2::Volume",
        "AWS::ElastiCache::CacheCluster",
        "AWS::ElastiCache::ReplicationGroup",
        "AWS::Neptune::DBCluster",
        "AWS::RDS::DBCluster",
        "AWS::RDS::DBInstance",
        "AWS::Redshift::Cluster",
    )
)
"""The types of which CloudFormation makes snapshots."""
_SNAPSHOT_BY_DEFAULT = frozenset(("AWS::RDS::DBCluster",))
"""The types of which it makes one where no policy is written; an AWS::RDS::DBInstance, too, unless
it belongs to a cluster.
"""


def losses(
    comparison: StackComparison,
    predictions: Mapping[str, Prediction],
    after: SynthesizedStack | None = None,
) -> tuple[Loss, ...]:
    """The resources with data in them that are deleted or replaced, or may be; those whose policy
    keeps the data, too. `predictions` are those of the comparison (replacement.py); with `after`,
    the newer stack, also those whose condition may have another value.

    None of a stack that the app no longer has: a deploy leaves it as it is.
    """
    if comparison.state is StackState.REMOVED:
        return ()
    conditions = _uncertain_conditions(comparison, after)
    seen = {difference.logical_id for difference in comparison.resources}
    found = [_loss(difference, predictions, conditions) for difference in comparison.resources]
    others: dict[str, Loss] = {}
    for name, resource in _data_resources(after):
        if name not in seen and _under(name, resource) & conditions:
            kind = str(resource.get("Type"))
            kept = _kept(kind, resource, "DeletionPolicy")
            others[name] = Loss(name, kind, _MAY_VANISH, kept, certain=False)
    for name, prediction in predictions.items():
        is_kept = prediction.replacement is Replacement.NEVER
        if name not in seen and prediction.type in HOLDS_DATA and not is_kept:
            cause, certain = _replaced(prediction.replacement)
            others[name] = Loss(name, prediction.type, cause, certain=certain)
    return (*(loss for loss in found if loss is not None), *others.values())


_MAY_VANISH = "may be deleted: its condition changes"


def _data_resources(stack: SynthesizedStack | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for prefix, template in templates_of(stack) if stack else ():
        for name, resource in as_mapping(template.get("Resources")).items():
            if as_mapping(resource).get("Type") in HOLDS_DATA:
                yield f"{prefix}{name}", resource


def _uncertain_conditions(
    comparison: StackComparison, after: SynthesizedStack | None
) -> frozenset[tuple[str, str]]:
    """The conditions that may have another value, by the nested stacks around them: those that
    differ, and those that refer to what does.
    """
    names = {
        (scope_of(part.name), local_id(part.name))
        for part in comparison.parts
        if part.part in UNCERTAIN_PARTS
    }
    grew = after is not None
    while grew and after is not None:
        more = {
            (prefix.rstrip("/"), name)
            for prefix, template in templates_of(after)
            for name, condition in as_mapping(template.get("Conditions")).items()
            if any((prefix.rstrip("/"), other) in names for other, _ in references(condition))
        }
        grew = not more <= names
        names |= more
    return frozenset(names)


def _under(name: str, *sides: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The conditions under which a resource is made."""
    return {(scope_of(name), str(side["Condition"])) for side in sides if side.get("Condition")}


def _replaced(word: Replacement) -> tuple[str, bool]:
    """What to call it, and whether it is certain."""
    if word is Replacement.ALWAYS:
        return "replaced", True
    return "may be replaced", False


def _loss(
    difference: ResourceDifference,
    predictions: Mapping[str, Prediction],
    conditions: frozenset[tuple[str, str]],
) -> Loss | None:
    kind = difference.previous_type or difference.type
    if kind not in HOLDS_DATA:
        return None
    name, certain, policy = difference.logical_id, True, "UpdateReplacePolicy"
    word = predictions.get(name, Prediction(name, kind, Replacement.NEVER)).replacement
    if difference.change is Change.REMOVED:
        cause, policy = "deleted", "DeletionPolicy"
    elif difference.change is Change.RENAMED:
        cause, policy = "deleted under its old name", "DeletionPolicy"
    elif difference.change is not Change.CHANGED:
        return None
    elif word is not Replacement.NEVER:
        cause, certain = _replaced(word)
    elif _may_vanish(difference, conditions):
        cause, certain, policy = _MAY_VANISH, False, "DeletionPolicy"
    else:
        return None
    kept = _kept(kind, difference.old, policy)
    if difference.change is Change.CHANGED and _kept(kind, difference.new, policy) != kept:
        kept = ""  # which of them counts is not certain
    return Loss(name, kind, cause, kept, certain, difference.label)


def _may_vanish(difference: ResourceDifference, conditions: frozenset[tuple[str, str]]) -> bool:
    """Whether a resource may be deleted because the condition under which it is made changes."""
    old, new = difference.old.get("Condition"), difference.new.get("Condition")
    names = _under(difference.logical_id, difference.old, difference.new)
    return new is not None and (old != new or bool(names & conditions))


def _kept(kind: str, resource: Mapping[str, Any], policy: str) -> str:
    """The policy by which the data of a resource stays, empty if it is lost. Without a policy it
    is: CloudFormation deletes.
    """
    written = resource.get(policy)
    if isinstance(written, str):
        if written == "Snapshot" and kind not in _SNAPSHOTS:
            return ""
        return "Retain" if written == "RetainExceptOnCreate" else written * (written in _KEEPS)
    if written is not None or policy != "DeletionPolicy":
        return ""
    is_alone = not as_mapping(resource.get("Properties")).get("DBClusterIdentifier")
    if kind in _SNAPSHOT_BY_DEFAULT or (kind == "AWS::RDS::DBInstance" and is_alone):
        return "Snapshot"
    return ""


def broadenings(comparison: StackComparison) -> tuple[Broadening, ...]:
    """The resources that let somebody do more than before; not those of a stack that the app no
    longer has, and not those that only have another name.
    """
    if comparison.state is StackState.REMOVED:
        return ()
    return tuple(_broadenings(comparison.resources))


def examine(
    comparisons: Iterable[StackComparison],
    after: Iterable[SynthesizedStack],
    change_sets: Mapping[str, Mapping[str, Replacement]] | None = None,
) -> tuple[ExaminedStack, ...]:
    """What each comparison means for what is live. `after` are the newer stacks; `change_sets` say
    what CloudFormation itself says, by the stack's id and the resource's logical id.
    """
    stacks = {(stack.id, stack.name, stack.account, stack.region): stack for stack in after}
    examined = []
    for comparison in comparisons:
        identity = comparison.id, comparison.name, comparison.account, comparison.region
        words = (change_sets or {}).get(comparison.id)
        stack = stacks.get(identity)
        predictions = predict(comparison, stack, words)
        examined.append(
            ExaminedStack(
                comparison,
                predictions,
                losses(comparison, predictions, stack),
                broadenings(comparison),
            )
        )
    return tuple(examined)


def _broadenings(differences: Iterable[ResourceDifference]) -> Iterable[Broadening]:
    for difference in differences:
        if difference.change in (Change.REMOVED, Change.RENAMED):
            continue
        new = difference.change is Change.ADDED or bool(difference.previous_type)
        before = {} if new else as_mapping(difference.old.get("Properties"))
        after = as_mapping(difference.new.get("Properties"))
        touched = {
            str(value.path[1])
            for value in difference.values
            if len(value.path) > 1 and value.path[0] == "Properties"
        }
        if not new and not touched:
            continue
        what = broadening(difference.type, tuple(sorted(touched)), new, before, after)
        if what:
            details = tuple(
                f"{'.'.join(map(str, value.path[1:]))}: {value.after}"
                for value in difference.values
                if value.after is not None and value.path[0] == "Properties"
            )
            yield Broadening(
                difference.logical_id, difference.type, what, details[:5], difference.label
            )
