"""A run that cannot fit is refused before a picture is encoded."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from showtell.config import Config
from showtell.errors import UserError
from showtell.launching import start
from showtell.run import Run
from showtell.training import folder_source, room
from showtell.training.train import train

MakeConfig = Callable[..., Config]


@pytest.mark.parametrize(
    ("free", "sections", "line"),
    [
        (
            10**8,
            {"decoder": {"hidden_size": 4000}},
            r"decoder\.hidden_size=4000 .*at least 1\.\d+ GB .*100 MB are free",
        ),
        (140_000, {"training": {"batch_size": 65536}}, r"training\.batch_size=65536.*make training\.batch_size sm"),
        (10**6, {"encoder": {"image_size": 128}}, r"features\.batch_size=8, pictures of 128 pixels a side"),
        (
            10**6,
            {"encoder": {"image_size": 128}, "features": {"mode": "off"}},
            r"training\.batch_size=7.*make training\.batch_size smaller",
        ),
    ],
)
def test_memory(
    free: int, sections: dict[str, Any], line: str,
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for module in (room, folder_source):
        monkeypatch.setattr(module, "free_memory", lambda: free)
    with pytest.raises(UserError, match=line):
        train(tiny_config(cache=str(tmp_path / "cache"), **sections), tmp_path / "run")
    assert not [*(tmp_path / "cache").rglob("features.bin")] and not (tmp_path / "run").exists()


def test_checkpoints_want_disk(tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 1000

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Full)
    with pytest.raises(UserError, match=r"last\.ckpt and best\.ckpt take at least .* kB, 1 kB are free"):
        train(tiny_config(), tmp_path / "run")


def test_processes(tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path)
    run.create(tiny_config(device={"devices": 64}))
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    with pytest.raises(UserError, match=r"device.devices=64: too many for 2 cores; use at most 16"):
        start.start(run)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr(start, "free_memory", lambda: 10**9)
    with pytest.raises(UserError, match=r"device.devices=64: at least 13.4 GB of memory are needed, 1 GB are free"):
        start.start(run)
