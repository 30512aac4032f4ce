"""What becomes one line, and what keeps its traceback."""

import errno
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from showtell import errors
from showtell.data.images import PictureError
from showtell.errors import UserError, explained, one_line_errors
from showtell.files import WriteError

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("a file\n  is missing; give another one"), "a file is missing; give another one"),
        (PictureError("x.jpg: the file is empty"), "x.jpg: the file is empty"),
        (WriteError(errno.ENOSPC, "cannot write x: the disk is full"), "cannot write x: the disk is full"),
        (OSError(errno.ENOSPC, "No space left on device", "/d/x"), "/d/x: No space left on device"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "x"), "x: No such file or directory"),
        (MemoryError(), "there is not enough memory"),
    ],
)
def test_one_line(error: BaseException, line: str) -> None:
    said = explained(error)
    assert said is not None and said.startswith(line)
    assert "\n" not in said


@pytest.mark.parametrize("error", [ValueError("not enough values"), KeyError("x"), OSError("no number"), SystemExit(3)])
def test_a_bug_is_not_explained(error: BaseException) -> None:
    assert explained(error) is None


def test_memory_of_torch() -> None:
    torch = pytest.importorskip("torch")
    assert explained(torch.OutOfMemoryError("CUDA out of memory")) is not None


def test_only_a_user_error_of_a_plugin_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "plugin_files", {"my_plugin.py"})
    for raised, is_explained in (("FileNotFoundError(2, 'gone', 'x')", False), ("UserError('mend it')", True)):
        with pytest.raises(Exception) as caught:
            exec(compile(f"raise {raised}", "my_plugin.py", "exec"), {"UserError": UserError})
        assert (explained(caught.value) is not None) is is_explained


def test_the_line_is_printed_and_the_code_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    cleaned = []
    with pytest.raises(SystemExit) as ended, one_line_errors(lambda: cleaned.append(True)):
        raise UserError("seed=-1 is out of range")
    assert (ended.value.code, cleaned) == (2, [True])
    assert capsys.readouterr().err == "error: seed=-1 is out of range\n"


def test_user_errors_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(PictureError("x.jpg: broken")))
    assert isinstance(error, PictureError) and str(error) == "x.jpg: broken"


@pytest.mark.parametrize("words", ["train.py", "predict.py", "-m showtell.data", "-m showtell.sweeps.supervisor"])
def test_an_interrupt_amid_the_imports_says_nothing(words: str, tmp_path: Path) -> None:
    (tmp_path / "secrets.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")  # some import
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "src")])}
    ended = subprocess.run([sys.executable, *words.split()], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")
