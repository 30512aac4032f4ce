"""What is found in a shard, and what becomes of a broken one."""

import io
import json
import tarfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from showtell.data.paths import stamp
from showtell.data.shards.index import INDEX_VERSION, IndexRequest, load_index, write_index
from showtell.data.shards.members import ShardError, has_features, read_members
from showtell.files import content_key
from showtell.text import build_tokenizer


def jpeg(color: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), color).save(buffer, "JPEG")
    return buffer.getvalue()


def tar(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def whole(number: int) -> list[tuple[str, bytes]]:
    return [(f"{number:03d}.jpg", jpeg()), (f"{number:03d}.txt", b"A red thing.")]


def array(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def notes(path: Path) -> list[str]:
    found = read_members(path).notes
    assert all("\n" not in note and str(path) in note for note in found)
    return found


def test_all_spellings_of_captions_and_pictures(tmp_path: Path) -> None:
    members = [
        ("a.jpg", jpeg()), ("a.txt", b"one  caption\n"), ("b.PNG", b"x"), ("b.json", b'{"caption": "two"}'),
        ("sub/c.json", json.dumps({"captions": ["three", "", 4, "five"], "url": "u"}).encode()), ("sub/c.webp", b"x"),
        ("d.npy", array(np.zeros(3, np.float16))), ("d.txt", b"six"), ("__meta__/m.txt", b"no sample"), ("e.cls", b"7"),
    ]  # fmt: skip
    found = {sample.key: sample for sample in read_members(tar(tmp_path / "a.tar", members)).samples}
    assert {key: sample.captions for key, sample in found.items()} == {
        "a": ["one caption"], "b": ["two"], "sub/c": ["three", "five"], "d": ["six"],
    }  # fmt: skip
    assert found["a"].picture and not found["a"].features and found["d"].features
    assert (tmp_path / "a.tar").read_bytes()[found["a"].picture.offset :][: found["a"].picture.size] == jpeg()


def test_a_caption_in_txt_and_json_counts_once(tmp_path: Path) -> None:
    """As img2dataset writes it; the same caption twice in one list stays twice."""
    members = [("a.jpg", jpeg()), ("a.txt", b"one"), ("a.json", b'{"caption": "one"}')]
    members += [("b.jpg", jpeg()), ("b.json", b'{"captions": ["two", "two"]}'), ("b.txt", b"three")]
    found = read_members(tar(tmp_path / "a.tar", members)).samples
    assert [sample.captions for sample in found] == [["one"], ["two", "two", "three"]]


def test_two_samples_of_one_key_are_no_pair(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", [*whole(1), *whole(2), *whole(1)])
    content = read_members(path)
    assert [sample.key for sample in content.samples] == ["002"]
    assert content.notes == [f"{path}: 001 stands for two samples, which cannot be told apart; left out"]


def test_captions_that_are_none_and_endless_names_are_counted(tmp_path: Path) -> None:
    members = [("a.jpg", jpeg()), ("a.json", b'{"captions": ["one", "", 4]}'), *whole(1), ("x" * 400 + ".jpg", jpeg())]
    told = notes(tar(tmp_path / "a.tar", members))
    assert len(told) == 2 and told[0].endswith("a.json: 2 empty or without text; left out")
    assert told[1].endswith("has a name of 400 letters; left out")


@pytest.mark.parametrize("first", ["jpg", "npy"])
def test_a_cut_first_shard_still_tells_what_it_holds(tmp_path: Path, first: str) -> None:
    path = tar(tmp_path / "a.tar", [(f"a.{first}", bytes(3000)), ("a.txt", b"a dog"), ("b.jpg", bytes(3000))])
    path.write_bytes(path.read_bytes()[:5500])
    assert has_features(path) == (first == "npy")


def test_what_is_missing_is_left_out_with_a_line(tmp_path: Path) -> None:
    members = [
        *whole(1),
        ("002.jpg", jpeg()),
        ("003.txt", b"words"),
        ("004.jpg", jpeg()),
        ("004.json", b"[1"),
        *whole(5),
    ]
    content = read_members(tar(tmp_path / "a.tar", members))
    assert [sample.key for sample in content.samples] == ["001", "005"]
    assert [note.partition(": ")[2] for note in content.notes] == [
        "004.json is no JSON object; its captions left out",
        "002 has no caption; left out",
        "003 has neither picture nor features; left out",
        "004 has no caption; left out",
    ]


@pytest.mark.parametrize("lost", [1, 600, 1500, 2500, 20_000])
def test_a_cut_shard_keeps_its_whole_samples(tmp_path: Path, lost: int) -> None:
    members = [("000.txt", b"first"), ("000.png", b"p" * 3000), *(member for n in range(1, 9) for member in whole(n))]
    members += [("009.txt", b"last"), ("009.png", b"p" * 3000)]  # the caption first: its picture may be cut
    complete = tar(tmp_path / "whole.tar", members)
    data = complete.read_bytes()
    end = read_members(complete).samples[-1].picture
    assert end is not None and notes(complete) == []
    cut = tmp_path / "cut.tar"
    cut.write_bytes(data[: end.offset + end.size - lost])
    content = read_members(cut)
    assert any("the shard was cut" in note for note in notes(cut))
    assert 0 < len(content.samples) < 10
    size = cut.stat().st_size
    assert all(sample.picture and sample.picture.offset + sample.picture.size <= size for sample in content.samples)


def test_a_shard_that_ends_between_two_members_is_cut_too(tmp_path: Path) -> None:
    complete = tar(tmp_path / "whole.tar", [*whole(1), *whole(2)])
    second = [sample.picture for sample in read_members(complete).samples][1]
    assert second is not None
    cut = tmp_path / "cut.tar"
    cut.write_bytes(complete.read_bytes()[: second.offset - 512])
    assert [sample.key for sample in read_members(cut).samples] == ["001"]
    assert "its end marker is missing" in notes(cut)[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "no tar file"), (b"\x1f\x8b\x08" + bytes(50), "decompress it"), (b"hello" * 500, "no tar file")],
)
def test_what_is_no_shard_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    with pytest.raises(ShardError, match=message) as refused:
        read_members(path)
    assert "\n" not in str(refused.value) and str(path) in str(refused.value)


def test_names_that_leave_the_folder_and_links_are_only_keys(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("a.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for name, data in (("a.txt", b"x"), ("../../b.jpg", jpeg()), ("../../b.txt", b"a caption")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    assert [sample.key for sample in read_members(path).samples] == ["../../b"]


def index(path: Path, *, decode: bool = False):
    file = path.with_suffix(".npz")
    write_index(path, file, IndexRequest(50, decode))
    return load_index(path, file, IndexRequest(50, decode))


def test_an_index_holds_words_places_and_features(tmp_path: Path) -> None:
    shape = (2, 3)
    members = [
        ("a.npy", array(np.arange(6, dtype=np.float16).reshape(shape))), ("a.txt", b"A red box."),
        ("b.npy", array(np.ones(shape, np.float16))), ("b.json", b'{"captions": ["a box", "a red red disc"]}'),
    ]  # fmt: skip
    found = index(tar(tmp_path / "a.tar", members))
    spelled = [[found.words[n] for n in part] for part in np.split(found.word_numbers, found.starts[1:-1])]
    assert spelled == [["a", "red", "box", "."], ["a", "box"], ["a", "red", "red", "disc"]]
    assert found.picture_of.tolist() == [0, 1, 1] and found.feature_shape == shape and found.feature_dtype == "float16"
    assert found.usable("features").all() and not found.usable("pictures").any()
    assert found.counts_in(found.usable("features")) == {"a": 3, "red": 3, "box": 2, ".": 1, "disc": 1}
    assert has_features(tmp_path / "a.tar")


def test_features_of_another_kind_are_left_out(tmp_path: Path) -> None:
    bad = {
        "b": array(np.zeros(4, np.float16)), "c": array(np.zeros(3, np.int64)), "d": b"\x93NUMPY",
        "e": array(np.zeros(3, np.float16))[:-1], "f": array(np.array([{}], dtype=object)),
    }  # fmt: skip
    members = [("a.npy", array(np.zeros(3, np.float16))), ("a.txt", b"good")]
    for key, data in bad.items():
        members += [(f"{key}.npy", data), (f"{key}.txt", b"bad")]
    found = index(tar(tmp_path / "a.tar", members))
    assert found.usable("features").tolist() == [True] + [False] * 5
    assert len(found.notes) == 5 and sum("of another shape" in note for note in found.notes) == 1


def test_unreadable_pictures_are_found_when_they_are_to_be_decoded(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", [*whole(1), ("002.jpg", jpeg()[:200]), ("002.txt", b"broken"), *whole(3)])
    assert index(path).usable("pictures").tolist() == [True, True, True]
    found = index(path, decode=True)
    assert found.usable("pictures").tolist() == [True, False, True]
    assert len(found.notes) == 1 and "a.tar: 002: " in found.notes[0]


def test_each_tokenizer_has_an_index_of_its_own_and_nltks_stays(tiny_shards: Path, tmp_path: Path) -> None:
    shard = next(tiny_shards.glob("train-*.tar"))
    files = {name: IndexRequest(50, False, build_tokenizer(name)).file(tmp_path, shard) for name in ("nltk", "words")}
    asked = {"max_caption_words": 50, "decode": False}
    assert content_key(INDEX_VERSION, version("nltk"), asked, str(shard), stamp(shard)) in files["nltk"].name
    assert files["nltk"] == IndexRequest(50, False).file(tmp_path, shard) != files["words"]
