"""What a change set would do, in words, the most dangerous first. Values of properties are looked
at and never shown. Pure.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

WIDTH = 78

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

_GRANTS = {
    "AWS::IAM::Role": (
        "AssumeRolePolicyDocument",
        "ManagedPolicyArns",
        "Policies",
        "PermissionsBoundary",
    ),
    "AWS::IAM::User": (
        "ManagedPolicyArns",
        "Policies",
        "Groups",
        "PermissionsBoundary",
        "LoginProfile",
    ),
    "AWS::IAM::Group": ("ManagedPolicyArns", "Policies"),
    "AWS::IAM::Policy": ("PolicyDocument", "Roles", "Users", "Groups"),
    "AWS::IAM::RolePolicy": ("PolicyDocument", "RoleName"),
    "AWS::IAM::UserPolicy": ("PolicyDocument", "UserName"),
    "AWS::IAM::GroupPolicy": ("PolicyDocument", "GroupName"),
    "AWS::IAM::ManagedPolicy": ("PolicyDocument", "Roles", "Users", "Groups"),
    "AWS::IAM::UserToGroupAddition": ("GroupName", "Users"),
    "AWS::IAM::AccessKey": ("UserName",),
    "AWS::IAM::OIDCProvider": ("ClientIdList", "Url"),
    "AWS::IAM::SAMLProvider": ("SamlMetadataDocument",),
    "AWS::Lambda::Permission": (
        "Principal",
        "Action",
        "FunctionName",
        "SourceArn",
        "SourceAccount",
    ),
    "AWS::Lambda::Url": ("AuthType",),
}
"""The properties that say who may do what."""

_RESOURCE_POLICIES = {
    "AWS::S3::BucketPolicy": "PolicyDocument",
    "AWS::SQS::QueuePolicy": "PolicyDocument",
    "AWS::SNS::TopicPolicy": "PolicyDocument",
    "AWS::KMS::Key": "KeyPolicy",
    "AWS::SecretsManager::ResourcePolicy": "ResourcePolicy",
    "AWS::ECR::Repository": "RepositoryPolicyText",
    "AWS::S3::AccessPoint": "Policy",
    "AWS::EFS::FileSystem": "FileSystemPolicy",
    "AWS::Backup::BackupVault": "AccessPolicy",
}
"""Policies on things: they broaden where they let in somebody new."""

_INGRESS = {"AWS::EC2::SecurityGroup": "SecurityGroupIngress", "AWS::EC2::SecurityGroupIngress": ""}
_EVERYBODY = ("0.0.0.0/0", "::/0")

Properties = Callable[[str], tuple[Any, Any]]
"""Logical id -> its properties before and after; None where they are not known, an empty mapping
where it is not there.
"""


class ResourceChange(Struct, frozen=True):
    """What happens to one resource. `does` is the verb that a person reads; `broadens` why it lets
    somebody do more, empty if not.
    """

    name: str
    type: str
    does: str
    loses: bool = False
    broadens: str = ""
    properties: tuple[str, ...] = ()

    @property
    def replaces(self) -> bool:
        """Whether somebody has to agree because a resource may be replaced."""
        return self.does in ("replaces", "may replace")

    @property
    def deletes(self) -> bool:
        """Whether somebody has to agree because a resource is deleted."""
        return self.does == "deletes"


_ORDER = (
    "deletes",
    "replaces",
    "may replace",
    "lets go of",
    "imports",
    "renews",
    "changes",
    "adds",
    "tags",
)


def effects(
    changes: Iterable[Mapping[str, Any]], known: Properties, within: str = ""
) -> list[ResourceChange]:
    """What the changes of one change set do, the most dangerous first. `within` is the path of
    nested stacks, ending in a slash.
    """
    found = [
        _effect(one["ResourceChange"], known, within)
        for one in changes
        if one.get("ResourceChange")
    ]
    return sorted(found, key=rank)


def predicted(before: Any, after: Any) -> list[ResourceChange]:
    """What a deploy would do by the two templates alone, before there is a change set; `before` is
    empty for a new stack.

    What replaces a resource only CloudFormation knows: of what both have, no more is said than that
    it changes. Nothing for a template that cannot be read here.
    """
    if not isinstance(after, Mapping) or not isinstance(before, Mapping):
        return []
    old, new = _resources(before), _resources(after)
    made: list[dict[str, Any]] = []
    for name in dict.fromkeys((*old, *new)):
        was, will = old.get(name), new.get(name)
        if was == will:
            continue
        found: dict[str, Any] = {
            "LogicalResourceId": name,
            "ResourceType": str((will or was or {}).get("Type", "")),
        }
        if was is None:
            found["Action"] = "Add"
        elif will is None:
            found |= {"Action": "Remove", "PolicyAction": str(was.get("DeletionPolicy", "Delete"))}
        elif was.get("Type") != will.get("Type"):
            found |= {"Action": "Modify", "Replacement": "True"}
        else:
            found |= {"Action": "Modify", "Replacement": "False", "Details": _touched(was, will)}
        made.append({"ResourceChange": found})

    def properties(template: Mapping[str, Any], logical: str) -> Any:
        found = template.get(logical, {}).get("Properties")
        return found if isinstance(found, Mapping) else {}

    return effects(made, lambda logical: (properties(old, logical), properties(new, logical)))


def _resources(template: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    found = template.get("Resources")
    return (
        {str(name): one for name, one in found.items() if isinstance(one, Mapping)}
        if isinstance(found, Mapping)
        else {}
    )


def _touched(was: Mapping[str, Any], will: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The properties that differ, as a change set tells of them."""
    before, after = was.get("Properties") or {}, will.get("Properties") or {}
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return []
    names = [
        name for name in dict.fromkeys((*before, *after)) if before.get(name) != after.get(name)
    ]
    return [{"Target": {"Name": str(name)}} for name in names]


def rank(effect: ResourceChange) -> tuple[int, bool, bool, str]:
    """What comes first: what cannot be undone."""
    return (_ORDER.index(effect.does), not effect.loses, not effect.broadens, effect.name)


def lines(found: Iterable[ResourceChange]) -> list[str]:
    """One line a resource, at most 78 columns wide; those that only get other tags share one."""
    shown, tagged = [], 0
    for one in sorted(found, key=rank):
        if one.does == "tags":
            tagged += 1
        else:
            shown.append(_line(one))
    if tagged:
        shown.append(f"{'tags':<12} {tagged} {'resource' if tagged == 1 else 'resources'} more")
    return shown


def questions(stack: str, found: Iterable[ResourceChange]) -> list[tuple[str, str, str]]:
    """What a person has to agree to: the question, the wish that answers it in advance, and its
    flag.
    """
    every = list(found)
    asked = []
    deleted = [one for one in every if one.deletes]
    replaced = [one for one in every if one.replaces]
    broad = [one for one in every if one.broadens]
    if deleted:
        asked.append((f"{stack}: delete {_named(deleted)}?", "allow_delete", "--allow-delete"))
    if replaced:
        may = "" if any(one.does == "replaces" for one in replaced) else "maybe "
        asked.append(
            (f"{stack}: {may}replace {_named(replaced)}?", "allow_replace", "--allow-replace")
        )
    if broad:
        asked.append(
            (
                f"{stack}: let {_named(broad)} allow more than before?",
                "allow_broadening",
                "--allow-broadening",
            )
        )
    return asked


def _named(found: list[ResourceChange]) -> str:
    names = ", ".join(one.name for one in found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    lost = any(one.loses for one in found if one.deletes or one.replaces)
    return names + more + (", with the data in it" if lost else "")


def _line(one: ResourceChange) -> str:
    notes = []
    if one.loses:
        notes.append("LOSES ITS DATA")
    if one.broadens:
        notes.append(one.broadens.upper())
    if one.properties and not notes and one.does not in ("adds", "deletes"):
        notes.append(", ".join(one.properties))
    verb = one.does.upper() if one.deletes or one.replaces else one.does
    tail = f"  {_cut('; '.join(notes), 30)}" if notes else ""
    left = WIDTH - 13 - len(tail)
    kind = _cut(one.type, max(left - 2 - min(len(one.name), 24), 10))
    return f"{verb:<12} {_cut(one.name, left - len(kind) - 2)}  {kind}{tail}"


def _cut(text: str, most: int) -> str:
    """The text with its middle left out if it is too long."""
    if len(text) <= most:
        return text
    half = max(most - 1, 2) // 2
    return f"{text[: max(most - 1, 2) - half]}…{text[-half:]}"


def _effect(change: Mapping[str, Any], known: Properties, within: str) -> ResourceChange:
    kind, logical = str(change.get("ResourceType", "")), str(change.get("LogicalResourceId", ""))
    scope = set(change.get("Scope") or ())
    touched = tuple(
        sorted(
            {
                str(one["Target"]["Name"])
                for one in change.get("Details") or ()
                if one.get("Target", {}).get("Name")
            }
        )
    )
    does = _does(change, kind, scope)
    policy = str(change.get("PolicyAction", ""))
    gone = does in ("deletes", "replaces", "may replace") and policy not in (
        "Retain",
        "ReplaceAndRetain",
        "Snapshot",
        "ReplaceAndSnapshot",
    )
    before, after = _properties(change, known, logical)
    broadens = (
        ""
        if does in ("deletes", "lets go of", "tags")
        else _broadens(kind, touched, does == "adds", before, after)
    )
    return ResourceChange(
        within + logical, kind, does, gone and kind in HOLDS_DATA, broadens, touched
    )


def _does(change: Mapping[str, Any], kind: str, scope: set[str]) -> str:
    action, replacement, policy = (
        change.get("Action"),
        change.get("Replacement"),
        str(change.get("PolicyAction", "")),
    )
    if action == "Add":
        return "adds"
    if action == "Import":
        return "imports"
    if action == "Remove":
        if policy == "Retain":
            return "lets go of"
        return "renews" if kind in REVISIONS else "deletes"
    if replacement in ("True", "Conditional") or policy.startswith("Replace"):
        if kind in REVISIONS:
            return "renews"
        return "may replace" if replacement == "Conditional" else "replaces"
    return "tags" if scope == {"Tags"} else "changes"


def _properties(change: Mapping[str, Any], known: Properties, logical: str) -> tuple[Any, Any]:
    """The properties before and after: what CloudFormation resolved, else what the templates
    say.
    """
    before, after = known(logical)
    resolved = (_context(change.get("BeforeContext")), _context(change.get("AfterContext")))
    if change.get("Action") == "Add":
        before = {}
    return (
        before if resolved[0] is None else resolved[0],
        after if resolved[1] is None else resolved[1],
    )


def _context(text: Any) -> Any:
    try:
        found = json.loads(text).get("Properties")
    except (TypeError, ValueError, AttributeError):
        return None
    return found if isinstance(found, dict) else None


def _broadens(kind: str, touched: tuple[str, ...], new: bool, before: Any, after: Any) -> str:
    """Why this lets somebody do more; what cannot be known counts as if it did."""
    if kind in _GRANTS and (new or not touched or set(touched) & set(_GRANTS[kind])):
        if new or before is None or after is None:
            return "grants permissions"
        gained = any(
            _gains(before.get(name), after.get(name))
            for name in _GRANTS[kind]
            if name != "PermissionsBoundary"
        )
        unbound = before.get("PermissionsBoundary") != after.get("PermissionsBoundary")
        return "grants permissions" if gained or unbound else ""
    if kind in _RESOURCE_POLICIES and (new or not touched or _RESOURCE_POLICIES[kind] in touched):
        if before is None or after is None:
            return "changes who may use it"
        name = _RESOURCE_POLICIES[kind]
        if _open(after.get(name)) and not _open(before.get(name)):
            return "open to everybody"
        return "grants permissions" if not new and _gains(before.get(name), after.get(name)) else ""
    if kind in _INGRESS and (
        new or not touched or kind.endswith("Ingress") or _INGRESS[kind] in touched
    ):
        return _opened(_INGRESS[kind], before, after)
    return ""


def _gains(before: Any, after: Any) -> bool:
    """Whether a policy has a statement, a list an entry, that was not there: or lost one that
    denied something.
    """
    was, now = _parts(before), _parts(after)
    allowed = {text for text, denies in now.items() if not denies}
    denied = {text for text, denies in was.items() if denies}
    return bool(allowed - was.keys()) or bool(denied - now.keys())


def _parts(value: Any) -> dict[str, bool]:
    """The statements and entries in a property, and whether each denies something."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return {value: False}
    if isinstance(value, Mapping) and "PolicyDocument" in value:
        return _parts(value["PolicyDocument"])
    if isinstance(value, Mapping) and "Statement" in value:
        return _parts(value["Statement"])
    if isinstance(value, list):
        return {text: denies for one in value for text, denies in _parts(one).items()}
    if value is None:
        return {}
    return {
        json.dumps(value, sort_keys=True, default=str): (
            isinstance(value, Mapping) and value.get("Effect") == "Deny"
        )
    }


def _open(policy: Any) -> bool:
    """Whether a policy lets everybody in, without a condition."""
    return any(
        '"*"' in json.dumps(one.get("Principal"), default=str) and not one.get("Condition")
        for one in (json.loads(text) for text, denies in _parts(policy).items() if not denies)
        if isinstance(one, Mapping)
    )


def _opened(name: str, before: Any, after: Any) -> str:
    if before is None or after is None:
        return "changes who may connect"
    was = _sources(before.get(name) if name else before)
    now = _sources(after.get(name) if name else after)
    if any(address in _EVERYBODY for address, _ in now - was):
        return "open to the internet"
    return "changes who may connect" if any(address == "?" for address, _ in now - was) else ""


def _sources(rules: Any) -> set[tuple[str, str]]:
    """Where a security group lets traffic in from, and the rule; `?` where the template does not
    say it in plain words.
    """
    found = set()
    for rule in rules if isinstance(rules, list) else [rules] if rules else []:
        text = json.dumps(rule, sort_keys=True, default=str)
        if not isinstance(rule, Mapping) or any(str(key).startswith("Fn::") for key in rule):
            found.add(("?", text))
            continue
        for key in ("CidrIp", "CidrIpv6"):
            if key in rule:
                found.add((rule[key] if isinstance(rule[key], str) else "?", text))
    return found
