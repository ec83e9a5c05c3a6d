"""`init --from-aws`: what runs in an account. It only reads; what it may not read is unknown, and
the rest goes on.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from msgspec.structs import replace

from toolkit.errors import CloudError
from toolkit.init.account import (
    Account,
    LiveBucket,
    LiveFunction,
    LiveService,
    LiveStack,
    packaged_code,
    plain_template,
)
from toolkit.ports.aws import cloudformation as cfn
from toolkit.ports.aws import inventory
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.functions import aliases
from toolkit.ports.cdk_assembly import placed

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST = 500
"""The most things of a sort that are looked at; that there are more is said."""
AT_ONCE = 8


def read_account(aws: Aws) -> Account:
    """What runs in the account and region of these credentials, and why the rest is not known."""
    try:
        reader = _AccountReader(aws, aws.account(), aws.region_name)
    except CloudError as problem:
        return Account("", "", unknown=(("AWS", str(problem)),))
    return Account(
        reader.number,
        reader.region,
        reader.services(),
        reader.stacks(),
        reader.functions(),
        reader.buckets(),
        tuple(reader.unknown.items()),
    )


class _AccountReader:
    """`unknown` is what could not be read, and why."""

    def __init__(self, aws: Aws, number: str, region: str) -> None:
        self.number, self.region = number, region
        self.unknown: dict[str, str] = {}
        self._aws = aws
        self._texts: dict[str, str] = {}

    def services(self) -> tuple[LiveService, ...]:
        """All ECS services, with their images."""
        names = self._list("ECS services", lambda: inventory.service_names(self._aws))
        images = self._ask(
            "images of ECS services",
            lambda service: inventory.service_images(self._aws, *service),
            names,
        )
        return tuple(
            LiveService(cluster, name, by_container or {})
            for (cluster, name), by_container in zip(names, images, strict=True)
        )

    def _list(self, what: str, listing: Callable[[], Iterator[Item]]) -> list[Item]:
        """A list as far as it can be read."""
        items: list[Item] = []
        try:
            for item in listing():
                if len(items) == MOST:
                    self.unknown[what] = f"there are more than {MOST}"
                    break
                items.append(item)
        except CloudError as problem:
            self.unknown[what] = str(problem)
        return items

    def _ask(
        self, what: str, ask: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[Result | None]:
        """An answer about each of these, several at a time; None for what cannot be known."""

        def answer(item: Item) -> Result | CloudError:
            try:
                return ask(item)
            except CloudError as problem:
                return problem

        with ThreadPoolExecutor(AT_ONCE) as pool:
            for result in pool.map(answer, items):
                if isinstance(result, CloudError):
                    self.unknown.setdefault(what, str(result))
                    yield None
                else:
                    yield result

    def stacks(self) -> tuple[LiveStack, ...]:
        """All stacks, with their templates."""
        names = self._list("stacks", lambda: inventory.stack_names(self._aws))
        bodies = self._ask("templates of stacks", lambda name: cfn.template(self._aws, name), names)
        stacks = []
        for name, body in zip(names, bodies, strict=True):
            if body is not None:
                self._texts[name] = body if isinstance(body, str) else json.dumps(body)
            text = self._texts.get(name)
            stacks.append(LiveStack(name, None if text is None else plain_template(text)))
        return tuple(stacks)

    def functions(self) -> tuple[LiveFunction, ...]:
        """All functions, with the stacks that made them, and their images."""
        listed = self._list("functions", lambda: inventory.functions(self._aws))
        owners = self._ask(
            "stacks of functions",
            lambda each: inventory.function_owner(self._aws, each.arn),
            listed,
        )
        images = self._ask(
            "images of functions",
            lambda each: inventory.function_image(self._aws, each.name) if each.is_image else "",
            listed,
        )
        functions = []
        for each, owner, image in zip(listed, owners, images, strict=True):
            apart, stack = None, ""
            if owner is not None:
                stack, name = owner
                apart = self._is_apart(each, self._texts.get(stack, ""), name) if stack else True
            functions.append(LiveFunction(each.name, each.handler, image or "", stack, apart))
        own = [each for each in functions if each.apart]
        named = self._ask(
            "aliases of functions",
            lambda each: tuple(alias.name for alias in aliases(self._aws, each.name)),
            own,
        )
        by_name = dict(zip((each.name for each in own), named, strict=True))
        return tuple(replace(each, aliases=by_name.get(each.name) or ()) for each in functions)

    def _is_apart(
        self, function: inventory.ListedFunction, template: str, name: str
    ) -> bool | None:
        """Whether a function has other code than its stack gave it, by the bytes of the package."""
        code = packaged_code(template, name)
        bucket, key = self._filled(code.get("S3Bucket")), self._filled(code.get("S3Key"))
        if not bucket or not key:
            return None
        (size,) = self._ask(
            "packages of functions",
            lambda where: inventory.object_size(self._aws, *where),
            [(bucket, key)],
        )
        return None if size is None else size != function.code_size

    def _filled(self, value: object) -> str:
        """A text of a template with account and region in it; empty where only the stack tells."""
        if isinstance(value, Mapping) and list(value) == ["Fn::Sub"]:
            value = value["Fn::Sub"]
        if not isinstance(value, str):
            return ""
        text = placed(value, self.number, self.region)
        return "" if "${" in text else text

    def buckets(self) -> tuple[LiveBucket, ...]:
        """The buckets of the region, the distributions before them, and what is in them."""
        names = self._list("buckets", lambda: inventory.buckets(self._aws))
        origins = self._list("distributions", lambda: inventory.origins(self._aws)) if names else []
        keys = self._ask(
            "objects of buckets", lambda name: inventory.object_keys(self._aws, name), names
        )
        return tuple(
            LiveBucket(
                name,
                tuple(dict.fromkeys(key for key, host in origins if host.startswith(f"{name}.s3"))),
                listed or (),
            )
            for name, listed in zip(names, keys, strict=True)
        )
