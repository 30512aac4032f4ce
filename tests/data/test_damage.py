"""Damage in the cache: every flipped bit and every cut is noticed, told in a line, and made good by itself."""

import hashlib
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.features.test_store import MeanColor, paths_of, request

from showtell.config import DataConfig
from showtell.data import derived as derived_module
from showtell.data.caption_set import load_captions
from showtell.data.contents import Contents
from showtell.data.derived import CHECKED_FOR_SECONDS, Checked
from showtell.data.features import rows
from showtell.data.features.request import StoreRequest
from showtell.data.features.store import open_or_build
from showtell.data.shards.command import Limits, write_shards
from showtell.data.shards.index import IndexRequest
from showtell.data.shards.members import find_shards
from showtell.data.shards.shard_set import open_shards
from showtell.data.shards.unpack import unpack
from showtell.data.shards.writing import EncodingRequest, feature_shards
from showtell.training.reports import thumbnails

MARKS = {"lock", "complete", "checked.json"}


class Cache:
    """A folder with every kind of derived file, of a tiny data set in a folder and in shards."""

    def __init__(self, root: Path, data: Path, shards: Path) -> None:
        self.root, self.data, self.shards = root, data, shards

    def wanted(self) -> StoreRequest:
        captions = load_captions(DataConfig(name="tiny", format="coco", root=str(self.data)), "train", self.root)
        asked = request(list(captions.path_names))  # type: ignore[arg-type]
        return StoreRequest(**{**vars(asked), "contents": captions.contents})

    def read(self) -> str:
        """A hash of everything that a run reads out of it."""
        digest = hashlib.sha256()

        def see(*values: Any) -> None:
            for value in values:
                digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())

        captions = load_captions(DataConfig(name="tiny", format="coco", root=str(self.data)), "train", self.root)
        see(captions.words, captions.word_numbers, captions.starts, captions.references, captions.path_names)
        see(captions.contents.of(), *thumbnails(captions.path_names[:2], self.root))
        store = open_or_build(self.root / "features", self.wanted(), MeanColor, 5, 0)
        see(np.array(store.features), store.unreadable)
        folder = self.root / "shards"
        paths = find_shards(str(self.shards), "train-*.tar", "data.train_shards")
        encoding = EncodingRequest("mean", self.wanted().transform, "float16")
        features = feature_shards(paths, folder / "features", encoding, MeanColor, 5, 0)
        for files, what in ((paths, "pictures"), (features, "features")):
            opened = open_shards(files, what, IndexRequest(50, False), folder, 0)
            see(opened.counts, opened.length_counts, *opened.usable_rows(0), opened.notes())
            for number in range(len(files)):
                index = opened.index(number)
                see(index.keys, index.features, index.word_numbers)
                if what == "features":
                    data = files[number].read_bytes()
                    see(*(data[start : start + size] for start, size in index.features.tolist()))
            found = unpack(opened, folder, "data.val_shards").folder
            see(*(file.read_bytes() for file in sorted(found.rglob("*")) if file.is_file() and file.name not in MARKS))
        return digest.hexdigest()

    def files(self) -> list[Path]:
        """What may be damaged: all but locks, the empty mark of a store, and the memory of checks."""
        found = (file for file in sorted(self.root.rglob("*")) if file.is_file() and file.name not in MARKS)
        return [file for file in found if file.suffix != ".lock"] + sorted(self.root.glob("shards/*/complete"))


@pytest.fixture(scope="module")
def shards(tiny_coco: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shards")
    write_shards(DataConfig(name="tiny", format="coco", root=str(tiny_coco)), root, Limits(12, 1, 0), root / "own")
    return root


@pytest.fixture
def cache(tiny_coco: Path, shards: Path, tmp_path: Path) -> Cache:
    made = Cache(tmp_path / "cache", tiny_coco, shards)
    made.read()
    return made


def flip(file: Path, rng: random.Random) -> None:
    data = bytearray(file.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


def cut(file: Path, rng: random.Random) -> None:
    os.truncate(file, rng.randrange(file.stat().st_size))


SERIES = [
    pytest.param(flip, 40, id="flips"),
    pytest.param(cut, 20, id="cuts"),
    pytest.param(flip, 300, id="300_flips", marks=pytest.mark.slow),
    pytest.param(cut, 100, id="100_cuts", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("damage", "times"), SERIES)
def test_damage_is_noticed_and_made_good(
    cache: Cache, capsys: pytest.CaptureFixture[str], damage: Callable[..., None], times: int
) -> None:
    rng = random.Random(19)
    whole, files = cache.read(), cache.files()
    assert not [line for line in capsys.readouterr().out.splitlines() if line.startswith("note:")]
    for number in range(times):
        # each file in turn, then any
        file = files[number] if number < len(files) else rng.choice(cache.files())
        damage(file, rng)
        assert cache.read() == whole, file
        told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note:")]
        assert len(told) == 1 and "made again" in told[0] and str(file.parent) in told[0], (file, told)
    assert cache.read() == whole and "note:" not in capsys.readouterr().out


def test_a_file_that_is_missing_is_made_again(cache: Cache) -> None:
    whole = cache.read()
    for file in cache.files():
        file.unlink()
        assert cache.read() == whole and (file.exists() or "unpacked" in str(file)), file


def test_another_stores_rows_are_no_rows_of_this_one(cache: Cache, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = cache.wanted()
    other = StoreRequest(**{**vars(wanted), "encoder": "other"})
    open_or_build(cache.root / "features", other, MeanColor, 5, 0)
    own, foreign = wanted.directory(cache.root / "features"), other.directory(cache.root / "features")
    for name in ("features.bin", "sums.bin"):
        shutil.copy(foreign / name, own / name)
    encoder = MeanColor()
    capsys.readouterr()
    open_or_build(cache.root / "features", wanted, lambda: encoder, 5, 0)
    assert encoder.seen == 24 and "24 of 24 features are damaged" in capsys.readouterr().out
    shutil.rmtree(own)
    shutil.copytree(foreign, own)
    open_or_build(cache.root / "features", wanted, lambda: encoder, 5, 0)
    assert encoder.seen == 48 and "about.json is damaged, or another store's" in capsys.readouterr().out


def test_of_a_damaged_store_the_damaged_rows_alone_are_encoded(
    cache: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted, encoder = cache.wanted(), MeanColor()
    file = wanted.directory(cache.root / "features") / "features.bin"
    os.truncate(file, 20 * 3 * 4)
    open_or_build(cache.root / "features", wanted, lambda: encoder, 5, 0)
    assert encoder.seen == 4
    (told,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("note:"))
    assert "features.bin has 240 of 288 bytes; 4 of 24 features are damaged, lost" in told


def test_a_store_of_an_older_version_is_taken_over(cache: Cache, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    wanted = cache.wanted()
    store = wanted.directory(cache.root / "features")
    about = json.loads((store / "about.json").read_text())
    del about["checksum"]
    (store / "about.json").write_text(json.dumps(about, indent=1))
    (store / "sums.bin").unlink()
    before = open_or_build(cache.root / "features", wanted, lambda: pytest.fail("encoded"), 5, 0)  # type: ignore[arg-type,return-value]
    assert "of an older version and has no checksums; they are taken now" in capsys.readouterr().out
    flip(store / "features.bin", random.Random(1))
    encoder = MeanColor()
    after = open_or_build(cache.root / "features", wanted, lambda: encoder, 5, 0)
    assert encoder.seen == 1 and (before.features == after.features).all()


def test_a_picture_that_was_replaced_is_encoded_again(
    tiny_coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same name, size and time: the inode's own time tells, and then the content does."""
    root = tmp_path / "copy"
    shutil.copytree(tiny_coco, root)
    paths = [str(path) for path in paths_of(root)]

    def asked() -> StoreRequest:
        return StoreRequest(**{**vars(request(paths)), "contents": Contents(paths, tmp_path / "contents")})  # type: ignore[arg-type]

    def build(encoder: MeanColor) -> np.ndarray:
        return np.array(open_or_build(tmp_path / "features", asked(), lambda: encoder, 5, 0).features)

    before = build(MeanColor())
    large, small = (pick(range(24), key=lambda row: os.path.getsize(paths[row])) for pick in (max, min))
    found = os.stat(paths[large])
    Path(paths[large]).write_bytes(Path(paths[small]).read_bytes().ljust(found.st_size, b"\0"))
    os.utime(paths[large], ns=(found.st_atime_ns, found.st_mtime_ns))
    encoder = MeanColor()
    after = build(encoder)
    assert encoder.seen == 1 and (before[large] != after[large]).any()
    assert (np.delete(before, large, 0) == np.delete(after, large, 0)).all()
    assert "1 of 24 features are damaged, lost, or of changed pictures" in capsys.readouterr().out
    os.utime(paths[5], ns=(1, 1))
    assert Contents(paths, tmp_path / "contents").of().tolist() == asked().contents.of().tolist()  # type: ignore[union-attr]


def test_a_large_store_is_read_whole_once(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rows, "MEMO_BYTES", 0)
    wanted, whole = cache.wanted(), cache.read()
    assert "checking  t: 24 features in " in capsys.readouterr().err
    real, calls = rows.StoreRows.expected, []
    monkeypatch.setattr(rows.StoreRows, "expected", lambda *of: (calls.append(1), real(*of))[1])
    cache.read()
    assert not calls
    flip(wanted.directory(cache.root / "features") / "features.bin", random.Random(1))
    assert cache.read() == whole and calls and "1 of 24 features are damaged" in capsys.readouterr().out


def test_what_was_found_whole_is_believed_for_a_week(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "features.bin"
    file.write_bytes(b"whole")
    Checked(tmp_path).add([file])
    assert Checked(tmp_path).holds([file]) and not Checked(tmp_path).holds([file, tmp_path / "other"])
    now = derived_module.time.time()
    monkeypatch.setattr(derived_module.time, "time", lambda: now + CHECKED_FOR_SECONDS + 1)
    assert not Checked(tmp_path).holds([file])
    monkeypatch.undo()
    found = file.stat()
    file.write_bytes(b"wHole")
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert not Checked(tmp_path).holds([file])
    (tmp_path / "checked.json").write_text("[]")
    assert not Checked(tmp_path).holds([file])
