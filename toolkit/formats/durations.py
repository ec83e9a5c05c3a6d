"""Durations as people write them, such as `2m30s`."""

import re

PATTERN = r"^(?=.)(?:\d+h)?(?:\d+m)?(?:\d+s)?$(?!\n)"
"""What a schema says of one."""

_SHORT = re.compile(r"([0-9]{1,6})(ms|s)")
_DURATION = re.compile(r"(?:(\d{1,3})h)?(?:(\d{1,4})m)?(?:(\d{1,5})s)?")


def seconds(duration: str) -> int | None:
    """`2m30s` in seconds, None if it is not a duration."""
    match = _DURATION.fullmatch(duration)
    if not match or not duration:
        return None
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest


def milliseconds(text: str) -> int | None:
    """`800ms`, `2s` in milliseconds, None if it is neither."""
    match = _SHORT.fullmatch(text)
    if match is None:
        return None
    return int(match[1]) * (1 if match[2] == "ms" else 1000)
