"""The tool that writes shards, and that they are WebDataset's."""

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.shards.conftest import Open, coco_config

from showtell.data.__main__ import main
from showtell.data.caption_set import load_captions
from showtell.data.shards.members import read_members
from showtell.data.shards.writing import shard_writer


def words(root: Path, tmp_path: Path, *more: str) -> list[str]:
    settings = [f"data.root={root}", "data.train_annotations=annotations/captions_train.json"]
    settings += ["data.val_annotations=annotations/captions_val.json", "data.train_images=train", "data.val_images=val"]
    folders = ["--output", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    return ["shards", "data=custom", *settings, *folders, *more]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tar"))}


def test_every_picture_and_caption_is_in_one_shard(tiny_coco: Path, tmp_path: Path) -> None:
    assert main(words(tiny_coco, tmp_path, "--samples", "7")) == 0
    captions = load_captions(coco_config(tiny_coco), "train", tmp_path)
    expected = {
        Path(path).read_bytes(): tuple(captions.references[int(id)])
        for path, id in zip(captions.path_names, captions.picture_ids, strict=True)
    }
    found = {}
    shards = sorted((tmp_path / "out").glob("train-*.tar"))
    for shard in shards:
        content = read_members(shard)
        assert content.notes == [] and len(content.samples) <= 7
        for sample in content.samples:
            assert sample.picture is not None
            data = shard.read_bytes()[sample.picture.offset :][: sample.picture.size]
            found[data] = tuple(sample.captions)
    assert len(shards) == 4 and found == expected


def test_a_limit_in_megabytes(tiny_coco: Path, tmp_path: Path) -> None:
    assert main(words(tiny_coco, tmp_path, "--megabytes", "0.004")) == 0
    for shard in (tmp_path / "out").glob("*.tar"):
        sizes = [sample.picture.size for sample in read_members(shard).samples if sample.picture]
        assert len(sizes) == 1 or sum(sizes) <= 4000
    assert len(contents(tmp_path / "out")) > 4


def test_a_cut_command_goes_on_and_other_shards_are_refused(
    tiny_coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = words(tiny_coco, tmp_path, "--samples", "7")
    assert main(command) == 0
    whole = contents(tmp_path / "out")
    (tmp_path / "out" / "train-000002.tar").unlink()
    kept = os.stat(tmp_path / "out" / "train-000001.tar").st_mtime_ns
    assert main(command) == 0
    assert contents(tmp_path / "out") == whole
    assert os.stat(tmp_path / "out" / "train-000001.tar").st_mtime_ns == kept
    assert main(words(tiny_coco, tmp_path, "--samples", "8")) == 2
    assert "holds shards of other data or limits" in capsys.readouterr().err
    (tmp_path / "out" / "shards.json").unlink()
    assert main(command) == 2
    assert "holds tar files already" in capsys.readouterr().err
    assert contents(tmp_path / "out") == whole


def test_what_cannot_be_used_is_named(tiny_coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_coco, root)
    (root / "train/train_000000000003.jpg").unlink()
    (root / "train/train_000000000004.jpg").write_bytes(b"")
    assert main(words(root, tmp_path)) == 0
    told = capsys.readouterr().out
    assert "train_000000000003.jpg is not there" in told and "train_000000000004.jpg has 0 bytes" in told
    manifest = json.loads((tmp_path / "out/shards.json").read_text())
    assert manifest["train"] == {"shards": 1, "samples": 22, "left_out": 2}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--features", "resnet18"], "holds no complete feature store named custom-train-resnet18"),
        (["--samples", "0"], "--samples and --megabytes must be positive"),
        (["data.root=/nowhere"], "data.root=/nowhere is no folder"),
    ],
)
def test_mistakes_are_one_line(
    tiny_coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert main(words(tiny_coco, tmp_path, *more)) == 2
    *told, error = capsys.readouterr().err.splitlines()
    assert message in error and not [line for line in told if not line.startswith("captions")]


# the library leaves a file open at the end of a list of shards, which Python notices
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_the_webdataset_library_reads_our_shards(tiny_coco: Path, tmp_path: Path) -> None:
    wds = pytest.importorskip("webdataset")
    assert main(words(tiny_coco, tmp_path, "--samples", "7")) == 0
    pattern = str(tmp_path / "out/train-{000000..000003}.tar")
    samples = list(wds.WebDataset(pattern, shardshuffle=False).decode("pil").to_tuple("jpg", "json"))
    assert len(samples) == 24
    assert all(isinstance(image, Image.Image) and len(told["captions"]) == 2 for image, told in samples)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_the_webdataset_library_passes_over_what_a_feature_shard_says_of_itself(tmp_path: Path) -> None:
    wds = pytest.importorskip("webdataset")
    with shard_writer(tmp_path / "train-0.tar") as writer:
        writer.add("0", ["a word"], features=np.arange(3, dtype=np.float16))
        writer.about({"encoder": "x"})
    assert read_members(tmp_path / "train-0.tar").about == {"encoder": "x"}
    samples = list(wds.WebDataset(str(tmp_path / "train-0.tar"), shardshuffle=False).decode())
    assert [sample["npy"].tolist() for sample in samples] == [[0, 1, 2]]


def test_the_webdataset_librarys_shards_are_read_here(tmp_path: Path, opened: Open) -> None:
    wds = pytest.importorskip("webdataset")
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), "blue").save(buffer, "PNG")
    with wds.ShardWriter(str(tmp_path / "train-%06d.tar"), maxcount=4, verbose=0) as writer:
        for row in range(10):
            sample = {"png": buffer.getvalue(), "npy": np.full(3, row, np.float32), "txt": f"number {row}"}
            writer.write({"__key__": f"{row:05d}", **sample})
    for what in ("pictures", "features"):
        shards = opened(tmp_path, what=what)
        assert len(shards.paths) == 3 and shards.num_captions == 10 and shards.num_notes == 0
    assert shards.feature_shape == (3,) and shards.counts["number"] == 10


def test_the_check_reads_shards(tiny_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "data=shards", f"data.root={tiny_shards}"]) == 0
    told = capsys.readouterr().out
    assert "train: 24 pictures, 48 captions" in told and "val: 6 pictures" in told
    shutil.copytree(tiny_shards, tmp_path / "cut")
    os.truncate(tmp_path / "cut/train-000001.tar", 6000)
    assert main(["check", "data=shards", f"data.root={tmp_path}/cut"]) == 1
    assert "train-000001.tar: the shard was cut" in capsys.readouterr().out
    assert main(["check", "data=shards", f"data.root={tmp_path}/nowhere"]) == 2
    assert "no file matches" in capsys.readouterr().err
