"""What macOS does not have is taken away: train.py, a sweep and predict.py do without."""

import os
import subprocess
import sys

import pytest
from tests.conftest import REPOSITORY
from tests.sweeps.conftest import SweepCommand

POORER = """
import builtins, ctypes, io, os, sys
sys.modules["fcntl"] = None
del os.posix_fallocate, os.sched_getaffinity

def hiding(call):
    def wrapper(file, *args, **kwargs):
        if isinstance(file, (str, bytes, os.PathLike)) and os.fsdecode(file).startswith("/proc"):
            raise FileNotFoundError(2, "No such file or directory", file)
        return call(file, *args, **kwargs)
    return wrapper

builtins.open = io.open = hiding(open)
for name in ("listdir", "readlink", "stat"):
    setattr(os, name, hiding(getattr(os, name)))
found = ctypes.CDLL.__getattr__

def without_prctl(library, name):
    if name == "prctl":
        raise AttributeError(name)
    return found(library, name)

ctypes.CDLL.__getattr__ = without_prctl
"""


@pytest.fixture
def poorer(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(POORER)

    def build(*script):
        sweep = SweepCommand(tmp_path, *script)
        sweep.environment["PYTHONPATH"] = f"{tmp_path / 'site'}{os.pathsep}{sweep.environment['PYTHONPATH']}"
        return sweep

    return build


def run(sweep, *words):
    environment = {**os.environ, **sweep.environment}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=sweep.folder, env=environment, capture_output=True, text=True, check=False)


def test_a_sweep_of_one_job(poorer):
    sweep = poorer()
    assert "ModuleNotFoundError" in run(sweep, "-c", "import fcntl").stderr
    done = sweep("seed=1", "training.max_epochs=2")
    assert done.returncode == 0 and "1 jobs: 1 finished" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_a_real_run_and_captions_for_a_picture(poorer):
    sweep = poorer(REPOSITORY / "train.py")
    words = ["data.shapes.train_pictures=24", "data.shapes.val_pictures=4", "vocab=min1", "device=cpu", "debug=fast"]
    done = sweep(*words, "decoder.hidden_size=8")
    assert done.returncode == 0, done.stdout + done.stderr
    (trained,) = sweep.runs.glob("*hidden_size-8*")
    picture = next(path for path in (sweep.folder / "data").rglob("*") if path.suffix in (".png", ".jpg"))
    told = run(sweep, REPOSITORY / "predict.py", trained, picture)
    assert told.returncode == 0 and picture.name in told.stdout, told.stderr
