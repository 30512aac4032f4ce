"""The feature store: built once, continued after a kill, never stale, shared by processes."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from showtell.config import AugmentConfig, ImageTransform
from showtell.data.augmentation import Augmentation
from showtell.data.features import request as request_module
from showtell.data.features import room, store
from showtell.data.features.request import StoreRequest
from showtell.data.features.room import room_in_words
from showtell.data.features.store import StoreError, open_or_build

TRANSFORM = ImageTransform(size=8)


class MeanColor:
    """An encoder of nothing but the mean colour, which counts what it sees."""

    feature_shape = (3,)

    def __init__(self, fail_after: int | None = None) -> None:
        self.seen = 0
        self.fail_after = fail_after

    def __call__(self, pixels: Tensor) -> Tensor:
        if self.fail_after is not None and self.seen >= self.fail_after:
            raise KeyboardInterrupt
        self.seen += len(pixels)
        return pixels.mean(dim=(2, 3))


def paths_of(root: Path) -> list[Path]:
    return sorted((root / "train").iterdir())


def request(paths: list[Path], **changes: object) -> StoreRequest:
    values = {"name": "t", "paths": paths, "encoder": "mean", "transform": TRANSFORM, "dtype": "float32", **changes}
    return StoreRequest(**values)  # type: ignore[arg-type]


def build(root: Path, wanted: StoreRequest, encoder: MeanColor) -> np.ndarray:
    return open_or_build(root, wanted, lambda: encoder, batch_size=5, num_workers=0).features


def test_features_are_the_encoders_answers(tiny_coco: Path, tmp_path: Path) -> None:
    from showtell.data.images import load_picture

    paths = paths_of(tiny_coco)
    features = build(tmp_path, request(paths), MeanColor())
    expected = torch.stack([load_picture(path, TRANSFORM).mean(dim=(1, 2)) for path in paths])
    assert torch.equal(torch.from_numpy(np.array(features)), expected)


def test_a_second_run_neither_encodes_nor_opens_a_picture(
    tiny_coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(tmp_path, request(paths_of(tiny_coco)), MeanColor())
    monkeypatch.setattr(request_module, "read_picture", None)
    monkeypatch.setattr(MeanColor, "__init__", None)
    store = open_or_build(tmp_path, request(paths_of(tiny_coco)), MeanColor, 5, 0)
    assert (store.features == first).all()


def test_an_interrupted_build_goes_on_where_it_was(tiny_coco: Path, tmp_path: Path) -> None:
    wanted = request(paths_of(tiny_coco))
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, wanted, MeanColor(fail_after=10))
    assert not list(tmp_path.glob("*/complete"))
    rest = MeanColor()
    features = build(tmp_path, wanted, rest)
    assert rest.seen == 24 - 10
    assert (features == build(tmp_path / "whole", wanted, MeanColor())).all()


@pytest.mark.parametrize("change", ["picture", "transform", "encoder", "dtype", "order"])
def test_what_decides_a_feature_decides_the_store(tiny_coco: Path, tmp_path: Path, change: str) -> None:
    root = tmp_path / "copy"
    shutil.copytree(tiny_coco, root)
    paths = paths_of(root)
    before = request(paths).key()
    if change == "picture":
        os.utime(paths[3], ns=(1, 1))
        after = request(paths)
    else:
        other = {"transform": ImageTransform(size=9), "encoder": "x", "dtype": "float16", "order": None}[change]
        after = request(paths[::-1]) if change == "order" else request(paths, **{change: other})
    assert after.key() != before


def test_unreadable_pictures_are_marked(tiny_coco: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(tiny_coco, root)
    paths = paths_of(root)
    paths[2].write_bytes(b"<html>")
    paths[5].unlink()
    store = open_or_build(tmp_path / "s", request(paths), MeanColor, 5, 0)
    assert np.flatnonzero(store.unreadable).tolist() == [2, 5]


def test_a_disk_that_is_too_small_is_named_before_the_start(
    tiny_coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: small)
    encoder = MeanColor()
    with pytest.raises(StoreError, match=r"need 288 bytes more and 100 bytes are free; .*features=off"):
        build(tmp_path, request(paths_of(tiny_coco)), encoder)
    assert encoder.seen == 0


def test_features_that_float16_cannot_hold_are_refused(tiny_coco: Path, tmp_path: Path) -> None:
    class Loud(MeanColor):
        def __call__(self, pixels: Tensor) -> Tensor:
            return super().__call__(pixels) * 1e7

    with pytest.raises(StoreError, match=r"too large for float16; use features.dtype=float32"):
        build(tmp_path, request(paths_of(tiny_coco), dtype="float16"), Loud())
    assert not list(tmp_path.glob("*/complete"))


def test_a_disk_that_fills_up_while_room_is_taken_is_one_line(
    tiny_coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "posix_fallocate", full)
    with pytest.raises(StoreError, match=r"cannot set aside .* \(No space left on device\); make room"):
        build(tmp_path, request(paths_of(tiny_coco)), MeanColor())
    monkeypatch.undo()
    assert build(tmp_path, request(paths_of(tiny_coco)), MeanColor()).shape == (24, 3)


def test_workers_give_the_same_store(tiny_coco: Path, tmp_path: Path) -> None:
    wanted = request(paths_of(tiny_coco))
    one = open_or_build(tmp_path / "a", wanted, MeanColor, 2, 0).features
    two = open_or_build(tmp_path / "b", wanted, MeanColor, 2, 2).features
    assert (one == two).all()


def _race(root: str, paths: list[Path], start: float, counts: "multiprocessing.Queue[tuple[int, float]]") -> None:
    time.sleep(max(0.0, start - time.time()))
    encoder = MeanColor()
    features = build(Path(root), request(paths), encoder)
    counts.put((encoder.seen, float(np.asarray(features).sum())))


def race(paths: list[Path], root: Path) -> list[tuple[int, float]]:
    context = multiprocessing.get_context("fork")
    counts = context.Queue()
    start = time.time() + 0.05
    processes = [context.Process(target=_race, args=(str(root), paths, start, counts)) for _ in range(3)]
    for process in processes:
        process.start()
    answers = [counts.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    return answers


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("rounds", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_of_several_processes_one_builds_and_all_read_the_same(tiny_coco: Path, tmp_path: Path, rounds: int) -> None:
    paths = paths_of(tiny_coco)
    for number in range(rounds):
        answers = race(paths, tmp_path / str(number))
        assert sorted(seen for seen, _ in answers) == [0, 0, 24]
        assert len({total for _, total in answers}) == 1


KILLED_BUILD = """
import sys, torch
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from test_store import MeanColor, request, paths_of, build
torch.set_num_threads(1)
class Slow(MeanColor):
    def __call__(self, pixels):
        answer = super().__call__(pixels)
        print(self.seen, flush=True)
        if self.seen >= 10:
            import time; time.sleep(60)
        return answer
build(Path(sys.argv[1]), request(paths_of(Path(sys.argv[2]))), Slow())
"""


def test_a_killed_build_loses_nothing_finished_and_frees_its_lock(tiny_coco: Path, tmp_path: Path) -> None:
    here = Path(__file__).parent
    folders = [str(here), str(here.parents[1] / "src")]
    command = [sys.executable, "-c", KILLED_BUILD, str(tmp_path), str(tiny_coco), *folders]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as builder:
        assert builder.stdout is not None
        while builder.stdout.readline().strip() != "10":
            assert builder.poll() is None
        builder.send_signal(signal.SIGKILL)
    rest = MeanColor()
    features = build(tmp_path, request(paths_of(tiny_coco)), rest)
    assert rest.seen == 24 - 5  # the batch of pictures 6 to 10 was encoded, but not yet stored
    assert (features == build(tmp_path / "whole", request(paths_of(tiny_coco)), MeanColor())).all()


def test_the_room_of_a_large_grid_is_told_with_what_makes_it_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """256 tokens of 768 numbers for COCO's pictures."""
    coco = request([f"{number}.jpg" for number in range(118_287)], dtype="float16", stamps=["x"] * 118_287)
    views = replace(coco, views=2, augmentation=Augmentation(AugmentConfig(flip=True), 0, np.zeros(1, dtype=bool)))
    told = {}
    usage = type("Usage", (), {"free": 40 * 10**9})
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StoreError, match=r"need 46\.5 GB more and 40 GB are free; make room, set encoder\.pooling"):
        room_in_words(tmp_path, [([coco], (256, 768))])
    for free in (500, 70):
        usage.free = free * 10**9
        (told[free],) = room_in_words(tmp_path, [([coco], (256, 768))])
    assert told[500] == f"118,287 pictures, each 256 x 768 float16: 46.5 GB in {tmp_path}, 500 GB are free"
    assert told[70].endswith("70 GB are free; less with encoder.pooling=grid:7 or features.dtype=int8")
    (small,) = room_in_words(tmp_path, [([replace(one, dtype="int8") for one in (coco, views)], (49, 10))])
    assert small.startswith("118,287 pictures and 236,574 changed ones, each 49 x 10 int8: 243 MB in ")
