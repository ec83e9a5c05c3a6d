"""What a target writes, as people and programs read it."""

from datetime import UTC, datetime

from toolkit.operations import Job
from toolkit.show.document import dumps
from toolkit.show.style import Role, marked
from toolkit.show.text import line


def lines(when: datetime, source: str, text: str, now: datetime, name: str = "") -> list[str]:
    """An event, a line for each of its own; with the date where that is not today's. Times are
    those of this machine's zone. `name` is the target's, where there are several.
    """
    local = when.astimezone()
    stamp = f"{local:%H:%M:%S}"
    if local.date() != now.astimezone().date():
        stamp = f"{local:%Y-%m-%d %H:%M:%S}"
    words = [stamp]
    if name:
        words.append(line(name))
    words.append(line(source))
    start = marked(" ".join(words), Role.FAINT)
    return [f"{start}  {line(part)}".rstrip() for part in text.splitlines() or [""]]


def document(when: datetime, job: Job, source: str, text: str) -> str:
    """An event for programs: one line, without the four fields of an answer."""
    return dumps(
        {
            "when": when.astimezone(UTC).isoformat(timespec="milliseconds"),
            "target": job.target,
            "environment": job.location.environment,
            "region": job.location.region,
            "source": source,
            "text": text,
        }
    )
