"""Tokenized captions: what nltk says, once per content."""

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import merged, tiny_settings

from showtell.config import DataConfig, parse
from showtell.data import caption_set, contents, paths
from showtell.data.annotations import AnnotationFile
from showtell.data.caption_set import load_captions
from showtell.files import file_sha256, short_hash
from showtell.text import Vocabulary, build_tokenizer
from showtell.text.tokenizers import NltkTokenizer
from showtell.training.data_module import open_source


def config(root: Path, **values: object) -> DataConfig:
    return DataConfig(name="tiny", format="coco", root=str(root), **values)  # type: ignore[arg-type]


def test_captions_come_back_as_they_were(tiny_coco: Path, tmp_path: Path) -> None:
    captions = load_captions(config(tiny_coco), "train", tmp_path)
    vocabulary = Vocabulary.from_counts(captions.counts, 1)
    tokens = captions.tokens(vocabulary)
    first = vocabulary.decode(tokens[captions.starts[0] : captions.starts[1]].tolist())
    assert first in {f"a {color} {kind}." for color in ("red", "green", "blue", "yellow") for kind in ("disc", "box")}
    assert captions.references[1][0].lower() == first
    assert captions.lengths.tolist()[:2] == [4, 9]
    assert len(captions.paths) == len(captions.picture_ids) == 24


def test_rare_words_become_unk(tiny_coco: Path, tmp_path: Path) -> None:
    captions = load_captions(config(tiny_coco), "val", tmp_path)
    vocabulary = Vocabulary.from_counts(captions.counts, 10)
    assert set(vocabulary.words[3:]) == {word for word, count in captions.counts.items() if count >= 10}
    assert (captions.tokens(vocabulary) == 2).any()


def test_a_warm_start_tokenizes_nothing(tiny_coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cold = load_captions(config(tiny_coco), "train", tmp_path)

    def refuse(*_: object) -> None:
        raise AssertionError("tokenized again")

    monkeypatch.setattr(NltkTokenizer, "split", refuse)
    monkeypatch.setattr(caption_set, "read_split", refuse)
    warm = load_captions(config(tiny_coco), "train", tmp_path)
    assert (warm.word_numbers == cold.word_numbers).all() and warm.words == cold.words


def test_each_tokenizer_has_tokens_of_its_own(tiny_coco: Path, tmp_path: Path) -> None:
    found = {}
    for name in ("nltk", "words"):
        tokenizer = build_tokenizer(name)
        found[name] = load_captions(config(tiny_coco), "train", tmp_path, tokenizer)
    assert found["nltk"].words == found["words"].words  # of these captions, which are plain English
    assert len({captions.source for captions in found.values()}) == 2
    file = tiny_coco / "annotations" / "captions_train.json"
    asked = json.dumps([version("nltk"), "train", "coco", 50])  # as before there were others
    assert found["nltk"].source == short_hash([asked, bytes.fromhex(file_sha256(file))])


def test_changed_captions_are_noticed(tiny_coco: Path, tmp_path: Path) -> None:
    import shutil

    root = tmp_path / "copy"
    shutil.copytree(tiny_coco, root)
    before = caption_set.source_hash(config(root), "train")
    file = root / "annotations" / "captions_train.json"
    file.write_text(file.read_text().replace("A red", "A crimson"))
    assert caption_set.source_hash(config(root), "train") != before


def test_annotations_are_hashed_once_and_paths_are_not_copied(
    tiny_coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []
    real = caption_set.file_sha256
    monkeypatch.setattr(caption_set, "file_sha256", lambda file: (hashed.append(file), real(file))[1])
    settings = merged(tiny_settings(tiny_coco, tmp_path), features={"mode": "off"}, encoder={"image_size": 32})
    source = open_source(parse(settings))
    assert source.data_hash == source.data_hash
    assert [file.name for file in hashed] == ["captions_train.json", "captions_val.json"]
    assert source.train.captions.path_names is source.train.captions.path_names


@pytest.mark.parametrize("features", [{"mode": "store", "views": 2}, {"mode": "off"}], ids=["store", "off"])
def test_pictures_are_asked_once_for_their_stamps(
    tiny_coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, features: dict
) -> None:
    asked: list[str] = []
    real = paths.file_facts
    for module in (paths, caption_set, contents):
        monkeypatch.setattr(module, "file_facts", lambda path: (asked.append(str(path)), real(path))[1])
    encoder = {"name": "resnet18", "weights": "none", "image_size": 32, "pooling": "average"}
    augment = {"augment": {"flip": True}}
    changed = merged(tiny_settings(tiny_coco, tmp_path), features=features, encoder=encoder, data=augment)
    source = open_source(parse(changed))
    assert source.data_hash
    assert sorted(asked) == sorted(set(source.train.captions.path_names) | set(source.val.captions.path_names))


def test_a_warm_start_reads_no_annotations(tiny_coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_captions(config(tiny_coco), "train", tmp_path)
    monkeypatch.setattr(AnnotationFile, "json", lambda _: pytest.fail("read again"))
    assert len(load_captions(config(tiny_coco), "train", tmp_path).lengths) == 48


def test_long_captions_are_cut(tiny_coco: Path, tmp_path: Path) -> None:
    captions = load_captions(config(tiny_coco, max_caption_words=5), "train", tmp_path)
    assert captions.lengths.max() == 5


def test_runs_that_start_together_tokenize_once(
    tiny_coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, real, calls = threading.Barrier(2, timeout=1), caption_set.caption_arrays, []

    def counted(*arguments: Any) -> dict[str, Any]:
        calls.append(1)
        with contextlib.suppress(threading.BrokenBarrierError):  # only a second one that tokenizes would come
            both.wait()
        return real(*arguments)

    monkeypatch.setattr(caption_set, "caption_arrays", counted)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: load_captions(config(tiny_coco), "train", tmp_path), range(2))
    assert len(calls) == 1 and (first.word_numbers == second.word_numbers).all()
