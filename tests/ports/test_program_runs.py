"""What is kept of what a program has written says where it was cut."""

import sys
from pathlib import Path

from toolkit.ports.process import child_environment
from toolkit.ports.program_runs import LONGEST_LINE, MOST_LINES, ProgramEnd, SilentLog, run_program


def end_of(code: str, folder: Path) -> ProgramEnd:
    argv = [sys.executable, "-c", code]
    return run_program(argv, str(folder), child_environment(), SilentLog())


def test_lines_that_are_left_out_are_counted(tmp_path: Path) -> None:
    end = end_of(f"for i in range({MOST_LINES} + 3): print('line', i)", tmp_path)
    assert end.output[:2] == ("[3 earlier lines are left out]", "line 3")
    assert len(end.output) == MOST_LINES + 1
    assert end.lines[0] == "line 3"


def test_what_fits_is_whole(tmp_path: Path) -> None:
    end = end_of(f"for i in range({MOST_LINES}): print('x' * {LONGEST_LINE})", tmp_path)
    assert end.output == ("x" * LONGEST_LINE,) * MOST_LINES


def test_a_line_that_is_cut_says_so(tmp_path: Path) -> None:
    end = end_of(f"print('abc def ' + 'x' * {LONGEST_LINE - 2})", tmp_path)
    assert end.output == ("..." + "x" * (LONGEST_LINE - 2),)


def test_the_end_of_a_cut_word_may_be_that_of_a_secret_and_is_left_out(tmp_path: Path) -> None:
    end = end_of(f"print('password=hunter2-and-more' + 'x' * {LONGEST_LINE - 9})", tmp_path)
    assert end.output == ("...",)
