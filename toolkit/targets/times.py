"""Moments as texts."""

from datetime import UTC, datetime


def iso_utc(moment: datetime | None) -> str | None:
    """A moment with a time zone as ISO 8601 in UTC; None stays None."""
    return None if moment is None else moment.astimezone(UTC).isoformat()
