"""Checkpoints, shards and captions that anybody may have written: what they hold is used, or one line says why not."""

import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from tests.data.shards.conftest import tiny_shards as tiny_shards
from tests.fuzzing.damage import Draw, as_json, broken_bytes, other_value, search
from torch import Tensor

import showtell
from showtell.checkpointing.io import save_checkpoint
from showtell.checkpointing.resume import find_resume_point
from showtell.data.shards.index import IndexRequest
from showtell.data.shards.members import find_shards
from showtell.data.shards.shard_set import open_shards
from showtell.errors import UserError, one_line
from showtell.score.__main__ import main as score

MANY = pytest.mark.slow


@contextlib.contextmanager
def used_or_one_line() -> Iterator[None]:
    """A block whose only error is the user's."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    except UserError as error:
        assert one_line(str(error)) == str(error)
    except SystemExit as error:
        assert error.code in (0, 1, 2)


@pytest.mark.parametrize("examples", [12, pytest.param(1000, marks=MANY)])
def test_checkpoints(examples: int, tiny_run: Path, tmp_path: Path) -> None:
    """Inconsistent inside, with a right checksum, as an older or another program may have written them."""
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    file = run / "checkpoints" / "last.ckpt"
    whole: dict[str, Any] = torch.load(file, weights_only=True)
    content = file.read_bytes()

    def attack(draw: Draw) -> None:
        if draw(st.integers(0, 3)):
            part = draw(st.sampled_from(["showtell", "showtell", *sorted(whole)]))
            other = draw(st.sampled_from([torch.zeros(2), torch.zeros(0), torch.tensor(3)]))
            changed = other if isinstance(whole[part], Tensor) else other_value(draw, whole[part])
            save_checkpoint(
                {**whole, part: changed} if part != "showtell" or isinstance(changed, dict) else whole, file
            )
        else:
            file.write_bytes(broken_bytes(draw, content))
        with used_or_one_line():
            showtell.load(file).caption([torch.zeros(40, 40, 3, dtype=torch.uint8).numpy()])
        with used_or_one_line():
            find_resume_point(str(file))

    search(examples, attack)


@pytest.mark.parametrize("examples", [25, pytest.param(2000, marks=MANY)])
def test_shards(examples: int, tiny_shards: Path, tmp_path: Path) -> None:
    (first, *_) = find_shards(str(tiny_shards), "train-*.tar", "data.train_shards")
    content, root = first.read_bytes(), tmp_path / "shards"
    root.mkdir()

    def attack(draw: Draw) -> None:
        broken = content
        for _ in range(draw(st.integers(1, 3))):
            broken = broken_bytes(draw, broken)
        (root / "train-000000.tar").write_bytes(broken)
        with used_or_one_line():
            paths = find_shards(str(root), "train-*.tar", "data.train_shards")
            shards = open_shards(paths, "pictures", IndexRequest(50, decode=True), tmp_path / "index", 0)
            assert shards.counts
        shutil.rmtree(tmp_path / "index", ignore_errors=True)

    search(examples, attack)


NAMES = {1: "one.jpg", 2: "two.jpg", 3: "three.jpg"}
SAID = {number: f"a dog and {number} cats" for number in NAMES}
REFERENCES = {
    "images": [{"id": number, "file_name": name} for number, name in NAMES.items()],
    "annotations": [{"image_id": number, "id": number, "caption": text} for number, text in SAID.items()],
}
LAYOUTS: dict[str, Any] = {
    "results.json": [{"image_id": number, "caption": text} for number, text in SAID.items()],
    "names.json": {NAMES[number]: text for number, text in SAID.items()},
    "lists.json": {NAMES[number]: [text] for number, text in SAID.items()},
    "lines.jsonl": [{"image": NAMES[number], "caption": text} for number, text in SAID.items()],
    "table.csv": [["image", "caption"], *([NAMES[number], text] for number, text in SAID.items())],
}


def written(suffix: str, values: Any) -> bytes:
    if suffix == ".json" or not isinstance(values, list):
        return as_json(values)
    if suffix == ".jsonl":
        return b"\n".join(as_json(one) for one in values)
    lines = (",".join(map(str, one)) if isinstance(one, list) else str(one) for one in values)
    return "\n".join(lines).encode("utf-8", "replace")


@pytest.mark.parametrize("examples", [40, pytest.param(5000, marks=MANY)])
def test_files_of_captions(examples: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("references.json").write_bytes(as_json(REFERENCES))

    def attack(draw: Draw) -> None:
        name = draw(st.sampled_from(sorted(LAYOUTS)))
        values = other_value(draw, LAYOUTS[name])
        content = written(Path(name).suffix, values)
        Path(name).write_bytes(broken_bytes(draw, content) if draw(st.integers(0, 2)) == 0 else content)
        words = [name, "--references", "references.json", "--resamples", "100", "--metrics", "cider"]
        with used_or_one_line():
            score([*words, "--output", draw(st.sampled_from(["out.json", "out.csv"]))])
        Path("other.json").write_bytes(as_json(other_value(draw, REFERENCES)))
        with used_or_one_line():
            score(["results.json" if Path("results.json").is_file() else name, "--references", "other.json"])

    search(examples, attack)
