"""Patterns of shards."""

from pathlib import Path

import pytest

from showtell.data.shards.members import ShardError, expand_braces, find_shards


def test_braces() -> None:
    assert expand_braces("a-{08..11}.tar") == ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]
    assert expand_braces("{a,b}/{0..1}") == ["a/0", "a/1", "b/0", "b/1"]
    assert len(expand_braces("train-{000000..000331}.tar")) == 332
    assert expand_braces("plain.tar") == ["plain.tar"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(3):
        (tmp_path / f"train-{number:03d}.tar").touch()
    return tmp_path


def names(root: Path, pattern: str | None) -> list[str]:
    return [path.name for path in find_shards(str(root), pattern, "data.train_shards")]


def test_relative_absolute_several_and_glob(root: Path) -> None:
    assert names(root, "train-*.tar") == [f"train-{n:03d}.tar" for n in range(3)]
    assert names(Path("/"), f"{root}/train-{{000..001}}.tar::{root}/train-002.tar") == names(root, "train-*.tar")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("val-*.tar", "no file matches"),
        ("train-{000..003}.tar", "train-003.tar is not there"),
        (None, "is not set"),
        ("pipe:curl x", "only local files are read"),
        ("https://host/train-0.tar", "only local files are read"),
        ("train-{3..1}.tar", "is no range of shards"),
        ("{0..999}{0..999}{0..999}", "names 1,000,000,000 shards"),
        ("train-{0..99999999999999}.tar", "is no range of shards"),
        ("train-*.tar::train-000.tar", "names a shard twice"),
    ],
)
def test_what_names_no_shards_is_one_line(root: Path, pattern: str | None, message: str) -> None:
    with pytest.raises(ShardError, match=message) as refused:
        names(root, pattern)
    assert "\n" not in str(refused.value) and "data.train_shards" in str(refused.value)
