"""Whether a resource lets somebody do more than before."""

import json
from collections.abc import Mapping
from typing import Any

from toolkit.formats.documents import as_mapping

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
    "AWS::Lambda::LayerVersionPermission": ("Principal", "OrganizationId", "Action"),
    "AWS::Lambda::Url": ("AuthType",),
    "AWS::Serverless::Function": ("AssumeRolePolicyDocument", "FunctionUrlConfig", "Policies"),
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
    "AWS::ApiGateway::RestApi": "Policy",
    "AWS::Backup::BackupVault": "AccessPolicy",
    "AWS::DynamoDB::Table": "ResourcePolicy",
    "AWS::ECR::RegistryPolicy": "PolicyText",
    "AWS::Elasticsearch::Domain": "AccessPolicies",
    "AWS::Events::EventBusPolicy": "Statement",
    "AWS::KMS::ReplicaKey": "KeyPolicy",
    "AWS::Kinesis::ResourcePolicy": "ResourcePolicy",
    "AWS::Logs::ResourcePolicy": "PolicyDocument",
    "AWS::OpenSearchService::Domain": "AccessPolicies",
    "AWS::S3::MultiRegionAccessPointPolicy": "Policy",
}
"""Policies on things: they broaden where they let in somebody new."""

_INGRESS = {"AWS::EC2::SecurityGroup": "SecurityGroupIngress", "AWS::EC2::SecurityGroupIngress": ""}
_EVERYBODY = ("0.0.0.0/0", "::/0")

_PUBLIC = frozenset(("AWS::S3::Bucket", "AWS::RDS::DBInstance"))
_BLOCK = "PublicAccessBlockConfiguration"
_BLOCKS = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
_CLOSED = ("Private", "BucketOwner", "LogDelivery", "AwsExecRead")
"""The beginnings of the access controls of a bucket that let nobody else in."""


def broadening(kind: str, touched: tuple[str, ...], new: bool, before: Any, after: Any) -> str:
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
        if gained or unbound:
            return "grants permissions"
        return ""
    if kind in _RESOURCE_POLICIES and (new or not touched or _RESOURCE_POLICIES[kind] in touched):
        if before is None or after is None:
            return "changes who may use it"
        name = _RESOURCE_POLICIES[kind]
        if _is_open(after.get(name)) and not _is_open(before.get(name)):
            return "open to everybody"
        if not new and _gains(before.get(name), after.get(name)):
            return "grants permissions"
        return ""
    if kind in _INGRESS and (
        new or not touched or kind.endswith("Ingress") or _INGRESS[kind] in touched
    ):
        return _opening(_INGRESS[kind], before, after)
    if kind in _PUBLIC:
        return _publicity(kind, before, after)
    return ""


def _publicity(kind: str, before: Any, after: Any) -> str:
    """Why this lets the public in where it could not come in before."""
    was, now = _openings(kind, before), _openings(kind, after)
    blocks = [as_mapping(each).get(_BLOCK) is not None for each in (before, after)]
    if now - was or blocks == [True, False]:  # CloudFormation takes the block away
        return "may be public"
    return ""


def _openings(kind: str, properties: Any) -> set[str]:
    """What of a resource's properties lets the public in; what cannot be read counts."""
    known = as_mapping(properties)
    if kind == "AWS::RDS::DBInstance":
        public = str(known.get("PubliclyAccessible", False)).lower() != "false"
        return {"PubliclyAccessible"} if public else set()
    opened = set[str]()
    if not str(known.get("AccessControl", "Private")).startswith(_CLOSED):
        opened.add("AccessControl")
    block = known.get(_BLOCK)
    for name in _BLOCKS:
        # of a bucket without a block S3 makes its own
        if block is not None and str(as_mapping(block).get(name, False)).lower() != "true":
            opened.add(name)
    return opened


def _gains(before: Any, after: Any) -> bool:
    """Whether a policy has a statement, a list an entry, that was not there: or lost one that
    denied something.
    """
    was, now = _policy_parts(before), _policy_parts(after)
    allowed = {text for text, denies in now.items() if not denies}
    denied = {text for text, denies in was.items() if denies}
    return bool(allowed - was.keys()) or bool(denied - now.keys())


def _policy_parts(value: Any) -> dict[str, bool]:
    """The statements and entries in a property, and whether each denies something."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return {value: False}
    if isinstance(value, Mapping) and "PolicyDocument" in value:
        return _policy_parts(value["PolicyDocument"])
    if isinstance(value, Mapping) and "Statement" in value:
        return _policy_parts(value["Statement"])
    if isinstance(value, list):
        parts: dict[str, bool] = {}
        for part in value:
            parts |= _policy_parts(part)
        return parts
    if value is None:
        return {}
    return {
        json.dumps(value, sort_keys=True, default=str): (
            isinstance(value, Mapping) and value.get("Effect") == "Deny"
        )
    }


def _is_open(policy: Any) -> bool:
    """Whether a policy lets everybody in, without a condition."""
    for text, denies in _policy_parts(policy).items():
        try:
            statement = None if denies else json.loads(text)
        except ValueError:
            continue  # a text that is not a policy; that it is new is told all the same
        if not isinstance(statement, Mapping) or statement.get("Condition"):
            continue
        if '"*"' in json.dumps(statement.get("Principal"), default=str):
            return True
    return False


def _opening(name: str, before: Any, after: Any) -> str:
    if before is None or after is None:
        return "changes who may connect"
    if name:  # the rules are one of the resource's properties, else they are the resource itself
        before, after = before.get(name), after.get(name)
    was, now = _ingress_sources(before), _ingress_sources(after)
    if any(address in _EVERYBODY for address, _ in now - was):
        return "open to the internet"
    if any(address == "?" for address, _ in now - was):
        return "changes who may connect"
    return ""


def _ingress_sources(rules: Any) -> set[tuple[str, str]]:
    """Where a security group lets traffic in from, and the rule; `?` where the template does not
    say it in plain words.
    """
    sources = set()
    if not isinstance(rules, list):
        rules = [rules] if rules else []
    for rule in rules:
        text = json.dumps(rule, sort_keys=True, default=str)
        if not isinstance(rule, Mapping) or any(str(key).startswith("Fn::") for key in rule):
            sources.add(("?", text))
            continue
        for key in ("CidrIp", "CidrIpv6"):
            if key in rule:
                address = rule[key] if isinstance(rule[key], str) else "?"
                sources.add((address, text))
    return sources
