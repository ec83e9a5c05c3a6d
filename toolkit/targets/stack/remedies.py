"""What to do after a deploy of a stack has failed: not just the same again, where its cause says
what has to go before. Pure.
"""

import re

from toolkit.advice import Advice, NextCommand

_IN_USE = re.compile(
    r"(?:Export (\S+) cannot be (?:deleted|updated)|Cannot (?:delete|update) export (\S+)) as it is"
    r" in use by "
    r"([A-Za-z][A-Za-z0-9-]*(?:(?:, | and |,)[A-Za-z][A-Za-z0-9-]*)*)"
)
_NO_EXPORT = re.compile(r"No export named (\S+) found")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


def fix_for(cause: str, command: NextCommand) -> Advice:
    """What fixes it; `command` is what deploys the stack again, with the flag that its state asks
    for.
    """
    if used := _IN_USE.search(cause):
        first = list[str | NextCommand]()
        for user in re.split(r", | and |,", used[3]):
            first += (";", NextCommand("deploy-stack", (user,)))
        what = f"first deploy what uses {used[1] or used[2]}, without that import:"
        return (what, *first[1:], "; then:", command)
    if lacking := _NO_EXPORT.search(cause):
        exporter, colon, _ = lacking[1].partition(
            ":"
        )  # as the CDK names them: STACK:ExportsOutput...
        if colon and _NAME.fullmatch(exporter):
            first_one = NextCommand("deploy-stack", (exporter,))
            return "first deploy what exports it:", first_one, "; then:", command
        return f"first deploy the stack that exports {lacking[1]}; then:", command
    return "fix what failed, then:", command
