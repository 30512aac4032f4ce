"""Indexes and totals of a split: made once, by several processes, gone on from, refused in one line."""

import os
import resource
from pathlib import Path

import numpy as np
import pytest
from tests.data.shards.conftest import Open, coco_config

from showtell.data.caption_set import load_captions
from showtell.data.shards import shard_set
from showtell.data.shards.batches import ShardPlan
from showtell.data.shards.members import ShardError
from showtell.data.shards.writing import shard_writer


def test_totals_are_those_of_the_data_set(tiny_coco: Path, tiny_shards: Path, tmp_path: Path, opened: Open) -> None:
    captions = load_captions(coco_config(tiny_coco), "train", tmp_path)
    shards = opened(tiny_shards)
    assert len(shards.paths) == 5 and shards.num_captions == 48
    assert shards.counts == captions.counts
    assert shards.length_counts.tolist() == np.bincount(captions.lengths).tolist()
    assert shards.first_sample.tolist() == [0, 5, 10, 15, 20, 24]


def test_workers_make_the_same_indexes(tiny_shards: Path, tmp_path: Path, opened: Open) -> None:
    alone = opened(tiny_shards)
    before = {file.name: file.read_bytes() for file in alone.files}
    for file in (tmp_path / "index").glob("*"):
        file.unlink()
    together = opened(tiny_shards, workers=2)
    assert {file.name: file.read_bytes() for file in together.files} == before


def test_a_second_run_reads_no_shard(tiny_shards: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(tiny_shards)
    monkeypatch.setattr(shard_set, "write_index", None)
    monkeypatch.setattr(shard_set, "load_index", None)
    assert opened(tiny_shards).counts == first.counts


def test_a_killed_indexing_goes_on(tiny_shards: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    real, done = shard_set.write_index, []

    def dying(*arguments: object) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(arguments[0])
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(shard_set, "write_index", dying)
    with pytest.raises(KeyboardInterrupt):
        opened(tiny_shards)
    again: list[object] = []
    monkeypatch.setattr(shard_set, "write_index", lambda *given: (again.append(given[0]), real(*given)))
    assert opened(tiny_shards).num_captions == 48
    assert len(again) == 3 and not set(again) & set(done)


def test_a_changed_shard_is_indexed_anew(tmp_path: Path, opened: Open) -> None:
    for texts in (["a b"], ["c d e"]):
        with shard_writer(tmp_path / "train-0.tar") as writer:
            writer.add("0", texts, features=np.zeros(3, np.float16))
        assert set(opened(tmp_path, what="features").counts) == set(texts[0].split())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_is_no_shard_is_one_line(tmp_path: Path, opened: Open, workers: int) -> None:
    for number in range(4):
        (tmp_path / f"train-{number}.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(ShardError, match=r"train-0.tar: no tar file") as refused:
        opened(tmp_path, workers=workers)
    assert "\n" not in str(refused.value)


def test_shards_without_what_is_asked_for_are_refused(tiny_shards: Path, opened: Open) -> None:
    with pytest.raises(ShardError, match=r"train-000000.tar: no caption with features in 5 shard"):
        opened(tiny_shards, what="features")


def test_samples_without_features_are_counted_whatever_else_was_left_out(tmp_path: Path, opened: Open) -> None:
    with shard_writer(tmp_path / "train-0.tar") as writer:
        writer.add("silent", [], features=np.zeros(3, np.float16))
        writer.add("whole", ["a word"], features=np.zeros(3, np.float16))
        for key in ("one", "two"):
            writer.add(key, ["no features, left out of them"], picture=b"\xff\xd8\xff")
    told = opened(tmp_path, what="features").notes()
    assert len(told) == 2 and "silent has no caption" in told[0]
    assert told[1] == "2 samples hold no features; left out"


def test_features_of_two_encoders_are_refused(tmp_path: Path, opened: Open) -> None:
    for number in (3, 4):
        with shard_writer(tmp_path / f"train-{number}.tar") as writer:
            writer.add("0", ["a word"], features=np.zeros(number, np.float16))
    with pytest.raises(ShardError, match=r"train-4: features of shape \(4,\), those of the shards before \(3,\)"):
        opened(tmp_path, what="features")


@pytest.mark.slow
def test_resident_memory_does_not_grow_with_the_number_of_shards(tmp_path: Path, opened: Open) -> None:
    """Thirty times the shards: what an epoch adds to the resident set stays below what their captions would take."""
    with shard_writer(tmp_path / "shard.tar") as writer:
        for row in range(500):
            writer.add(str(row), ["a few words about nothing much at all"] * 20, features=np.zeros(2, np.float16))

    def grown(shards: int) -> float:
        root = tmp_path / str(shards)
        root.mkdir()
        for number in range(shards):
            os.link(tmp_path / "shard.tar", root / f"train-{number:04d}.tar")
        plan = ShardPlan(opened(root, what="features"), 64, 5000, 0)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert sum(len(rows) for rows in plan.epoch(0)) == shards * 10_000
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

    grown(2)
    assert grown(60) < 5  # MB; row numbers, lengths and turns of 600,000 captions are 14
