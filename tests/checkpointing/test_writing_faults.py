"""Writers that are killed, and disks that fill up: the old file or the new one, never anything else."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from showtell import files
from showtell.checkpointing.archive import CheckpointError
from showtell.checkpointing.io import load_checkpoint, save_checkpoint
from showtell.files import WriteError, atomic_write
from showtell.temporaries import remove_stale_temporaries

MEMORY = Path("/dev/shm")


@pytest.fixture(params=["disk", "memory"])
def directory(request, tmp_path) -> Iterator[Path]:
    if request.param == "disk":
        yield tmp_path
    elif not MEMORY.is_dir():
        pytest.skip("no /dev/shm")
    else:
        with tempfile.TemporaryDirectory(dir=MEMORY) as name:
            yield Path(name)


def write_until_killed(path: Path, seconds: float) -> None:
    """A child overwrites the checkpoint in a loop; it is killed after so many seconds of writing."""
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            number = 0
            while True:
                number += 1
                save_checkpoint({"global_step": number, "w": torch.full((200_000,), float(number))}, path)
                os.write(tell, b".")
        finally:
            os._exit(1)
    os.read(ready, 1)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(ready)
    os.close(tell)


def kills(directory: Path, rounds: int) -> tuple[int, int]:
    """Returns how many files were torn and how many kills left a temporary file, that is, hit a write."""
    path, torn, hits = directory / "last.ckpt", 0, 0
    generator = random.Random(3)
    for _ in range(rounds):
        write_until_killed(path, generator.uniform(0, 0.03))
        try:
            loaded = load_checkpoint(path)
            torn += not bool((loaded["w"] == loaded["global_step"]).all())
        except CheckpointError:
            torn += 1
        hits += len(remove_stale_temporaries(directory))
        assert [entry.name for entry in directory.iterdir()] in (["last.ckpt"], [])
    return torn, hits


def test_killed_while_writing(directory):
    torn, hits = kills(directory, 8)
    assert torn == 0
    assert hits > 0, "no kill hit a write: the test proves nothing"


@pytest.mark.slow
def test_killed_while_writing_100_times(directory):
    torn, hits = kills(directory, 100)
    assert torn == 0 and hits > 20


@pytest.mark.slow
def test_mutant_writing_in_place_is_torn(directory, monkeypatch):
    monkeypatch.setattr(files, "temporary_name", lambda path: path)
    assert kills(directory, 30)[0] > 0


@pytest.mark.slow
def test_mutant_temporary_file_on_another_file_system_is_torn(directory, monkeypatch, tmp_path):
    other = tmp_path if directory.is_relative_to(MEMORY) else MEMORY
    if not MEMORY.is_dir():
        pytest.skip("no /dev/shm")
    monkeypatch.setattr(files, "temporary_name", lambda path: other / f"{path.name}.{os.getpid()}.tmp")
    monkeypatch.setattr(files.os, "replace", shutil.move)  # what Lightning's own writer does
    try:
        assert kills(directory, 60)[0] > 0
    finally:
        for path in other.glob("last.ckpt.*.tmp"):
            path.unlink()


@contextlib.contextmanager
def small_disk(directory: Path, size: int) -> Iterator[Path]:
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a small file system")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


@pytest.mark.parametrize("extra", range(0, 1_000_000, 50_000))
def test_full_disk_keeps_the_old_file(extra, tmp_path):
    old, new = torch.full((100_000,), 1.0), torch.full((250_000,), 2.0)
    with small_disk(tmp_path / "disk", 420_000 + extra) as disk:
        path = disk / "last.ckpt"
        save_checkpoint({"global_step": 1, "w": old}, path)
        with pytest.raises(WriteError) as caught:
            save_checkpoint({"global_step": 2, "w": new}, path)
        text = str(caught.value)
        assert "\n" not in text and "disk is full" in text and "free" in text and "the old file is kept" in text
        assert torch.equal(load_checkpoint(path)["w"], old)
        assert [entry.name for entry in disk.iterdir()] == ["last.ckpt"]


@pytest.mark.slow
def test_mutant_writing_in_place_loses_the_old_file_on_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "temporary_name", lambda path: path)
    with small_disk(tmp_path / "disk", 900_000) as disk:
        save_checkpoint({"w": torch.zeros(100_000)}, disk / "last.ckpt")
        with pytest.raises(WriteError):
            save_checkpoint({"w": torch.zeros(250_000)}, disk / "last.ckpt")
        with pytest.raises(CheckpointError):
            load_checkpoint(disk / "last.ckpt")


def test_full_disk_while_writing_text(tmp_path):
    with small_disk(tmp_path / "disk", 100_000) as disk:
        (disk / "a.json").write_text("old")
        with pytest.raises(WriteError, match="disk is full"), atomic_write(disk / "a.json", "w") as file:
            file.write("x" * 200_000)
        assert (disk / "a.json").read_text() == "old"
        assert [entry.name for entry in disk.iterdir()] == ["a.json"]
