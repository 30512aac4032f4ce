import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY

FAKE = Path(__file__).with_name("fake_train.py")


class SweepCommand:
    """`train.py -m` in a folder of its own; its name marks every process that belongs to it."""

    def __init__(self, folder, script=FAKE):
        self.folder = folder
        self.script = script
        self.name = f"t{uuid.uuid4().hex[:10]}"
        self.environment = {"PYTHONPATH": f"{REPOSITORY / 'src'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}

    @property
    def runs(self):
        return self.folder / "runs" / self.name

    def start(self, *words, **environment):
        command = [sys.executable, self.script, "-m", f"name={self.name}", *words]
        environment = {**os.environ, **self.environment, **environment}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.folder, env=environment, text=True, **pipes)

    def __call__(self, *words, **environment):
        process = self.start(*words, **environment)
        out, err = process.communicate(timeout=500)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def processes(self):
        """The processes of the jobs: pid by command line, without what waits to be reaped."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(f"runs/{self.name}/".encode() in word for word in words):
                found[int(folder.name)] = words
        return found

    def starts(self):
        """At which epoch each job was started, once per start."""
        return {
            path.parent.name: [line.split()[0] for line in path.read_text().splitlines()]
            for path in self.runs.glob("*/starts.txt")
        }


@pytest.fixture
def sweep(tmp_path):
    return SweepCommand(tmp_path)
