"""What locust loads in the child: one request, as standard input describes it, through the same
careful probe as every check.

Nothing happens where it is only imported: locust changes the sockets of its process.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

SWITCH, MARK = "TOOLKIT_LOAD", "toolkit-load "
PACE_S = 0.1
"""Each user asks at most so often: it is a small load."""

if os.environ.get(SWITCH) == "1":
    from locust import User, constant_pacing, events, task

    import toolkit.ports.load as load
    from toolkit.errors import ProbeError
    from toolkit.ports.net import http
    from toolkit.ports.net.policy import Policy

    def _policy(fields: Mapping[str, Any]) -> Policy:
        instead = {
            host: (address, int(port)) for host, (address, port) in fields["instead"].items()
        }
        return Policy(tuple(fields["hosts"]), bool(fields["private"]), instead)

    INPUT = json.loads(sys.stdin.buffer.read())
    REQUEST = http.HttpRequest(
        INPUT["method"],
        INPUT["url"],
        INPUT["headers"],
        None if INPUT["body"] is None else INPUT["body"].encode("latin-1"),
        frozenset(INPUT["secret_headers"]),
    )
    POLICY, STATUS = _policy(INPUT["policy"]), frozenset(INPUT["status"])
    TIMES: list[float] = []
    BAD: list[str] = []
    BEGAN = time.monotonic()

    class LoadUser(User):
        """One of those who ask at the same time."""

        wait_time = constant_pacing(PACE_S)

        @task
        def ask(self) -> None:
            """Ask once."""
            began, problem = time.monotonic(), ""
            try:
                status = http.ask(REQUEST, POLICY, INPUT["seconds"]).status
                if not (status in STATUS if STATUS else 200 <= status < 300):
                    problem = f"status {status}"
            except ProbeError as error:
                problem = str(error)
            took = (time.monotonic() - began) * 1000
            if problem:
                BAD.append(problem)
            else:
                TIMES.append(took)
            self.environment.events.request.fire(
                request_type=REQUEST.method,
                name="check",
                response_time=took,
                response_length=0,
                context={},
                exception=Exception(problem) if problem else None,
            )

    @events.quitting.add_listener  # type: ignore[untyped-decorator]
    def tell(**_: Any) -> None:
        """The figures, in a line that nobody else writes."""
        times = sorted(TIMES)
        figures = {
            "requests": len(TIMES) + len(BAD),
            "errors": len(BAD),
            "seconds": time.monotonic() - BEGAN,
            "first": BAD[0] if BAD else "",
            **{
                f"p{share}": round(load.percentile(times, share / 100), 2) for share in (50, 95, 99)
            },
        }
        sys.stdout.write(MARK + json.dumps(figures) + "\n")
        sys.stdout.flush()
