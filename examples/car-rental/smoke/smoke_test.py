"""Smoke tests of a running car rental: python smoke_test.py [URL]

What is checked is data, in steps.toml; this file only sends it. Exit 0: all well, 1: something failed, 2: wrong usage.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tomllib
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

TIMEOUT = 10  # seconds a step


class Failed(Exception):
    """A step did not get the answer that it expects."""


def main(arguments: list[str]) -> int:
    base_url = arguments[0] if arguments else os.environ.get("SMOKE_URL", "")
    if len(arguments) > 1 or not base_url.startswith(("http://", "https://")):
        print("usage: smoke_test.py URL  (or SMOKE_URL=URL smoke_test.py)", file=sys.stderr)
        return 2
    steps = tomllib.loads(Path(__file__).with_name("steps.toml").read_text("utf-8"))["steps"]
    return run_all(base_url.rstrip("/"), steps, known_at_the_start())


def known_at_the_start() -> dict[str, str]:
    """The demo user, and two days far ahead at random, so that two runs at once hardly ever want the same ones."""
    start = date.today() + timedelta(days=random.randint(1_000, 100_000))
    return {
        "user": os.environ.get("DEMO_USER") or "demo",
        "password": os.environ.get("DEMO_PASSWORD") or "demo",
        "from": start.isoformat(),
        "to": (start + timedelta(days=2)).isoformat(),
    }


def run_all(base_url: str, steps: list[dict[str, Any]], known: dict[str, str]) -> int:
    """Run the steps until one fails; after that only those that clean up."""
    failed = False
    for step in steps:
        if failed and not step.get("always"):
            continue
        try:
            run(base_url, step, known)
            print(f"ok   {step['name']}")
        except KeyError:  # the value was never received, so there is nothing to clean up
            continue
        except Failed as failure:
            print(f"FAIL {step['name']}\n     {step['request']}: {failure}")
            failed = True
    return 1 if failed else 0


def run(base_url: str, step: dict[str, Any], known: dict[str, str]) -> None:
    step = filled(step, known)
    status, content = send(base_url, step)
    if status != step["status"]:
        raise Failed(f"expected status {step['status']}, got {status} {json.dumps(content)[:200]}")
    for path, expected in step.get("expect", {}).items():
        if (actual := look_up(content, path)) != expected:
            raise Failed(f"expected {path} to be {expected!r}, got {actual!r}")
    known |= {name: look_up(content, path) for name, path in step.get("keep", {}).items()}


def filled(value: Any, known: dict[str, str]) -> Any:
    """The same value with every {name} in its texts replaced."""
    match value:
        case str():
            return value.format_map(known)
        case dict():
            return {key: filled(item, known) for key, item in value.items()}
    return value


def send(base_url: str, step: dict[str, Any]) -> tuple[int, Any]:
    method, path = step["request"].split(" ")
    body = json.dumps(step["form"]).encode() if "form" in step else None
    headers = {"Content-Type": "application/json"} if body else {}
    if "token" in step:
        headers["Authorization"] = f"Bearer {step['token']}"
    try:
        with urlopen(Request(base_url + path, body, headers, method=method), timeout=TIMEOUT) as response:
            return response.status, parsed(response.read())
    except HTTPError as error:
        with error:
            return error.code, parsed(error.read())
    except URLError as error:
        raise Failed(f"no answer: {error.reason}") from error
    except OSError as error:
        raise Failed(f"no answer: {error}") from error


def parsed(body: bytes) -> Any:
    """The JSON content, or the text that a proxy sent instead of it."""
    try:
        return json.loads(body or "null")
    except ValueError:
        return body.decode(errors="replace")


def look_up(content: Any, path: str) -> Any:
    """The value at a path such as cars.0.id."""
    for part in path.split("."):
        try:
            content = content[int(part) if isinstance(content, list) else part]
        except (LookupError, TypeError, ValueError):
            raise Failed(f"the answer has no {path}") from None
    return content


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
