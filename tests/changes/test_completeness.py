"""What fixes a gap, as it is pasted: whatever its path is called."""

import subprocess

import pytest

from toolkit.advice import ShellCommand, advice_parts
from toolkit.changes.completeness import ASSUMED, Gap, GapReason, _fix
from toolkit.show.advice import shown_command

FOLDER, FILE = "in\n$(x)", "a\x1b\tb"
PRINT = 'show() { printf \'%s|\' "$@"; }; git() { show "$@"; }; rm() { show "$@"; }; '
CHECKOUT = f"--|{FOLDER}/{FILE}|-C|{FOLDER}|checkout|--|{FILE}|"


@pytest.mark.parametrize(
    ("reason", "detail", "words"),
    [
        (GapReason.SYMLINK, "", f"-C|{FOLDER}|config|core.symlinks|true|{CHECKOUT}"),
        (GapReason.FILTER, "crypt", CHECKOUT),
        (
            GapReason.HIDDEN,
            ASSUMED,
            f"-C|{FOLDER}|update-index|--no-{ASSUMED}|--|{FILE}|",
        ),
        (GapReason.SPARSE, "", f"-C|{FOLDER}|sparse-checkout|disable|"),
        (GapReason.POINTER, "", f"-C|{FOLDER}|lfs|pull|"),
    ],
)
def test_a_fix_is_one_line_that_a_shell_reads_with_the_very_names(
    reason: GapReason, detail: str, words: str
) -> None:
    gap = Gap(f"{FOLDER}/{FILE}", reason, detail, inside=FOLDER)
    parts = advice_parts(_fix(gap))
    [shown] = [shown_command(part) for part in parts if isinstance(part, ShellCommand)]
    assert shown.isprintable()
    done = subprocess.run(["bash", "-c", PRINT + shown], capture_output=True, check=True)
    assert done.stdout.decode() == words
