"""Progress in a terminal and in a file, and output that fails."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY

from showtell import terminal
from showtell.terminal import Progress, duration, tell, unfailing_output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")


def shown(text: str, columns: int) -> list[str]:
    """What stands on a terminal in the end: carriage returns, erased lines; nothing is wrapped."""
    lines = []
    for line in text.split("\n"):
        parts = line.split("\r")
        lines.append(parts[-1].removeprefix("\x1b[K"))
        assert all(len(part.removeprefix("\x1b[K")) < columns for part in parts if part.startswith("\x1b[K"))
    return lines


@pytest.mark.parametrize("columns", [20, 80, 140])
def test_a_bar_fits_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(sys, "stdout", out := Terminal())
    monkeypatch.setattr(terminal, "_REDRAW_SECONDS", -1.0)
    monkeypatch.setenv("COLUMNS", str(columns))
    with unfailing_output(), Progress("encoding a-long-name-of-a-data-set", 1000, "pictures") as progress:
        for done in (1, 999, 1000):
            progress.reach(done)
            print("a line between")
    last = shown(out.getvalue(), columns)
    assert last[:3] == ["a line between"] * 3 and last[3].endswith("1,000 pictures in 0:00") and last[4:] == [""]


def test_a_bar_that_is_cut_short_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", out := Terminal())
    with pytest.raises(KeyboardInterrupt), unfailing_output(), Progress("drawing", 10, "pictures"):
        raise KeyboardInterrupt
    assert shown(out.getvalue(), 80) == [""]


def test_a_file_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", out := io.StringIO())
    with unfailing_output(), Progress("drawing it", 10, "pictures") as progress:
        progress.count(10)
    assert out.getvalue() == "drawing   it: 10 pictures in 0:00\n"


def test_output_that_fails_is_nobodys_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Closed())
    with unfailing_output():
        print("x", flush=True)
        tell("run", "somewhere")


def test_nobody_closes_the_streams_of_the_process() -> None:
    """As `absl`, which OpenVINO brings, does when Hydra configures logging for the next job of a sweep."""
    code = (
        "import sys; from showtell.terminal import unfailing_output\n"
        "with unfailing_output(): kept = sys.stderr\n"
        "with unfailing_output(): kept.close(); print('still here', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "still here\n"


def test_what_the_encoding_lacks_is_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", out := io.TextIOWrapper(io.BytesIO(), "ascii"))
    with unfailing_output():
        print("Möwe")
    assert out.buffer.getvalue() == b"M?we\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0:00"), (59.6, "1:00"), (754, "12:34"), (7384, "2:03:04")])
def test_duration(seconds: float, said: str) -> None:
    assert duration(seconds) == said


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        (
            "with unfailing_output(): print('x', flush=True)",
            0,
            "note: a part of what went to standard output is lost: ",
        ),
        ("with one_line_errors(): print('x'); raise UserError('no')", 2, "error: "),
    ],
)
def test_a_full_disk_under_the_log_changes_no_exit_code(code: str, status: int, said: str) -> None:
    imports = "from showtell.terminal import unfailing_output\nfrom showtell.errors import UserError, one_line_errors\n"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    with FULL.open("w") as full:
        command = [sys.executable, "-c", imports + code]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    assert (done.returncode, done.stderr.startswith(said)) == (status, True), done.stderr
