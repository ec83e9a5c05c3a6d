"""The models of AWS's services, read once in a test's process: each run of toolkit makes clients of
its own, and reading the models takes longer than all their calls.
"""

from typing import Any

from botocore.loaders import Loader  # type: ignore[import-untyped]


def share_models() -> None:
    """Let all loaders of toolkit's that look in the same folders have one cache.

    botocore's own loaders keep theirs: a client of S3 changes the model that it was made from, and
    the scripted AWS reads its requests by the same model.
    """
    caches: dict[tuple[str, ...], dict[Any, Any]] = {}
    __init__ = Loader.__init__

    def with_shared_cache(self: Any, *args: Any, **named: Any) -> None:
        __init__(self, *args, **named)
        if type(self) is not Loader:
            self._cache = caches.setdefault(tuple(self.search_paths), {})

    Loader.__init__ = with_shared_cache
