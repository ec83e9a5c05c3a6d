"""The emulator's own Python environment. A small script stands in for Python: what is tested is
what it is asked to do, and when.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from toolkit.errors import ProgramFailed
from toolkit.sandbox import environment

SCRIPT = """\
#!/bin/sh
echo "$*" >>"$HOME/asked"
case "$*" in
  "-m venv --without-pip "*) mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;;
  "-m venv "*) if [ -e "$HOME/no-ensurepip" ]; then mkdir -p "$3/half"; exit 1; fi
                mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
  *"--require-hashes"*) if [ -e "$HOME/no-network" ]; then echo "warning" >&2
                         echo "no matching distribution" >&2; exit 1; fi ;;
esac
"""


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The person's home, with a Python that keeps a list of what it is asked."""
    path = Path(os.environ["HOME"])
    script = path / "python"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))
    return path


def asked(home: Path) -> list[str]:
    """The modules that Python was asked to run, in order."""
    return [line.split()[1] for line in (home / "asked").read_text().splitlines()]


def test_it_is_made_once_and_with_hashes(home: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    first = environment.python(str(tmp_path), lines.append)
    assert environment.python(str(tmp_path), lines.append) == first
    assert (asked(home), len(lines)) == (["venv", "pip"], 1)
    assert f"--no-deps --require-hashes -r {environment.LOCK}" in (home / "asked").read_text()
    assert os.access(first, os.X_OK)


def test_several_at_once_make_one(home: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        created = set(
            pool.map(lambda _: environment.python(str(tmp_path), lambda line: None), range(4))
        )
    assert len(created) == 1
    assert asked(home) == ["venv", "pip"]


def test_a_python_without_ensurepip_fills_it_from_outside_by_the_same_list(
    home: Path, tmp_path: Path
) -> None:
    (home / "no-ensurepip").touch()
    created = environment.python(str(tmp_path), lambda line: None)
    assert asked(home) == ["venv", "venv", "pip"]
    last = (home / "asked").read_text().splitlines()[-1]
    assert last.startswith(f"-m pip --python {created} install")
    assert last.endswith(f"--no-deps --require-hashes -r {environment.LOCK}")
    assert not (Path(created).parents[1] / "half").exists()


def test_a_failure_is_told_by_its_last_line_and_tried_again(home: Path, tmp_path: Path) -> None:
    (home / "no-network").touch()
    with pytest.raises(ProgramFailed, match="pip failed: no matching distribution"):
        environment.python(str(tmp_path), lambda line: None)
    (home / "no-network").unlink()
    environment.python(str(tmp_path), lambda line: None)
    assert asked(home) == ["venv", "pip"] * 2


def test_another_list_is_another_environment(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = environment.python(str(tmp_path), lambda line: None)
    second = tmp_path / "requirements.txt"
    second.write_text("other==1\n")
    monkeypatch.setattr(environment, "LOCK", str(second))
    assert environment.python(str(tmp_path), lambda line: None) != first


def test_the_list_pins_the_emulator_and_hashes_everything() -> None:
    lines = Path(environment.LOCK).read_text().splitlines()
    named = [line for line in lines if "==" in line]
    assert any(line.startswith("ministack==1.5.33 ") for line in named)
    assert all(line.endswith("\\") for line in named)
