"""Where a registry is, and what it takes to push to it."""

from msgspec import Struct


class SecretText:
    """A string that is shown only by calling `reveal`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The string itself, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "[secret]"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretText) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written down")


class RegistryAddress(Struct, frozen=True):
    """Where to push. `host` is the host in image names, `address` the one to connect to: they
    differ in the sandbox.
    """

    host: str
    address: str
    repository: str
    user: str
    password: SecretText
