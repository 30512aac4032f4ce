"""Captions that nobody wrote, behind those that people wrote: learnt from, but not measured by."""

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import predict
import pytest
from tests.conftest import draw_coco, merged, tiny_settings

from showtell.checkpointing.resume import ResumeError
from showtell.config import ConfigError, DataConfig, parse
from showtell.data.annotations import AnnotationError
from showtell.data.caption_set import CaptionSet, load_captions
from showtell.data.extra_captions import ExtraCaptions, read_extra_captions
from showtell.text import NLTK, Vocabulary
from showtell.training.data_module import open_source
from showtell.training.train import train


@pytest.fixture(scope="module")
def human(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataConfig, CaptionSet, Path]:
    root = draw_coco(tmp_path_factory.mktemp("extra") / "coco", train=5, val=2)
    config, cache = DataConfig(name="tiny", root=str(root)), root / "cache"
    return config, load_captions(config, "train", cache), cache


def read(human: tuple[DataConfig, CaptionSet, Path], file: Path, content: Any) -> ExtraCaptions:
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    config, captions, cache = human
    return read_extra_captions(file, captions, config, cache, NLTK)


def by_picture(extra: ExtraCaptions, captions: CaptionSet) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    words = np.array(extra.words)
    for row, picture in enumerate(extra.picture_of):
        text = " ".join(words[extra.word_numbers[extra.starts[row] : extra.starts[row + 1]]])
        found.setdefault(int(captions.picture_ids[picture]), []).append(text)
    return found


TWO = {2: ["a cat", "one cat"], 4: ["a bird"]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", [{"image_id": 4, "caption": "A bird"}, *({"image_id": 2, "caption": text} for text in TWO[2])]),
        ("b.json", [
            {"image_id": 2, "caption": "a cat", "captions": ["a cat", "one cat"]}, {"image_id": 4, "caption": "a bird"},
        ]),
        ("c.jsonl", '{"image": "train_000000000002.jpg", "captions": ["a cat", "one cat"]}\n'
                    '{"image": "train/train_000000000004", "captions": ["a bird"]}'),
        ("d.json", {"train_000000000002.jpg": ["a cat", "one cat"], "train_000000000004.jpg": "a bird"}),
        ("e.json", {"2": ["a cat", "one cat"], "4": ["a bird"]}),
        ("f.csv", "image,caption\ntrain_000000000002.jpg,a cat\ntrain_000000000002.jpg,one cat\n4,a bird\n"),
    ],
)  # fmt: skip
def test_every_layout_names_training_pictures_by_id_or_name(
    human: Any, tmp_path: Path, name: str, content: Any
) -> None:
    assert by_picture(read(human, tmp_path / name, content), human[1]) == TWO


def test_they_stand_behind_people_s_and_count_for_nothing_else(human: Any, tmp_path: Path) -> None:
    captions = human[1]
    extra = read(human, tmp_path / "x.json", {"2": ["a red zebra", "a zebra"], "4": ["there is a disc"]})
    both = extra.behind(captions)
    assert both.references == captions.references and both.counts == captions.counts
    assert both.extra == 3 and len(both.lengths) == len(captions.lengths) + 3
    assert both.picture_of[-3:].tolist() == [1, 1, 3]
    vocabulary = Vocabulary.from_counts(both.counts, 1)
    tokens = both.tokens(vocabulary)
    rows = np.arange(len(captions.lengths))
    for row in rows:
        assert np.array_equal(both.batch(tokens, rows[[row]]), captions.batch(captions.tokens(vocabulary), rows[[row]]))
    last = both.batch(tokens, np.array([len(rows)]))[0].tolist()
    assert last == vocabulary.encode(["a", "red", "zebra"]) and last[2] == vocabulary.look_up(["<unk>"])[0]
    assert both.source != captions.source
    assert extra.notes(vocabulary) == [
        "x.json: 3 further captions of 2 pictures",
        "x.json: 2 of 9 words are not in the vocabulary and become <unk>",
    ]


def test_what_is_left_out_is_counted(human: Any, tmp_path: Path) -> None:
    extra = read(human, tmp_path / "y.json", {"2": ["a cat", " "], "1001": ["no training picture", "nor this"]})
    assert extra.notes(Vocabulary.from_counts(extra.counts, 1)) == [
        "y.json: 1 further caption of 1 picture",
        "y.json: 1 caption left out: empty",
        "y.json: 2 captions left out: their pictures, such as 1001, are not in the training split",
    ]


def test_names_are_no_other_data_sets(human: Any, tmp_path: Path) -> None:
    """Only numbers may be, most of which are not in this training split."""
    named = {f"train_{number:012}.jpg": "a cat" for number in range(5, 20)}
    assert read(human, tmp_path / "n.json", named).left_out == {
        "their pictures, such as train_000000000006.jpg, are not in the training split": 14
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"val_000000001001.jpg": "a cat"}, "none of its pictures, such as val_000000001001.jpg, is in the training"),
        ([], "holds no captions; write it again"),
        ({"images": [], "annotations": []}, "holds `images`, as annotation files do; give a list of image_id and"),
        (
            [{"image_id": number, "caption": "a cat"} for number in (5, 6, 7, 8, 5)],
            "1 of its 4 pictures is in the training split, so their numbers may be another data set's; leave out what",
        ),
        ([{"image_id": 2, "caption": 7}], "is 7, it must be text"),
        ("{", "no JSON at line 1"),
    ],
)
def test_what_cannot_be_used_is_one_line(human: Any, tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(AnnotationError) as refused:
        read(human, tmp_path / "z.json", content)
    assert str(refused.value).startswith("data.extra_captions: ") and message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_one_line(human: Any, tmp_path: Path) -> None:
    config, captions, cache = human
    with pytest.raises(AnnotationError, match=r"data\.extra_captions: .*none\.json"):
        read_extra_captions(tmp_path / "none.json", captions, config, cache, NLTK)


def test_shards_have_none() -> None:
    with pytest.raises(ConfigError, match=r"data\.extra_captions=x\.json has no effect with data\.format=shards"):
        parse({"data": {"name": "shards", "format": "shards", "extra_captions": "x.json"}})


def test_what_predict_writes_of_the_training_split_is_learnt_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way, of a table whose pictures have no ids: two runs as one, beam with two captions, train, resume."""
    root = draw_coco(tmp_path / "coco", train=12, val=2)
    content = json.loads((root / "annotations/captions_train.json").read_text())
    with (root / "captions.csv").open("w", newline="") as file:
        names = {image["id"]: image["file_name"] for image in content["images"]}
        rows = [(names[one["image_id"]], one["caption"]) for one in content["annotations"]]
        csv.writer(file).writerows([("image", "caption"), *rows])
    own = {"format": "folder", "train_annotations": "captions.csv", "train_images": "train", "val_images": "train"}
    settings = merged(tiny_settings(root, tmp_path / "cache"), data=own, training={"max_epochs": 1})
    runs = [tmp_path / "runs" / str(seed) for seed in (1, 2)]
    for seed, run in enumerate(runs, start=1):
        train(parse({**settings, "seed": seed}), run)
    file = tmp_path / "extra.json"
    words = ["--split", "train", "--beam", "3", "--num-captions", "2", "--output", str(file)]
    monkeypatch.setattr(sys, "argv", ["predict.py", *map(str, runs), *words])
    assert predict.main() == 0
    said = json.loads(file.read_text())

    config = parse(merged(settings, data={"extra_captions": str(file)}, training={"max_epochs": 1}))
    source = open_source(config)
    both = source.captions["train"]  # type: ignore[attr-defined]
    pictures = len(said)
    assert both.extra == 2 * pictures and set(both.picture_of[-both.extra :]) == set(range(pictures))
    assert source.size().endswith(f", {both.extra} of them extra")
    plain = open_source(parse(settings))
    assert source.vocabulary.words == plain.vocabulary.words and source.data_hash != plain.data_hash
    capsys.readouterr()
    train(config, run := tmp_path / "distilled")
    told = capsys.readouterr().out
    assert f"tiny train: extra.json: {both.extra} further captions of {pictures} pictures" in told
    file.write_text(json.dumps(said[1:]))
    with pytest.raises(ResumeError, match="the data set is not the one of the checkpoint"):
        train(replace(config, resume=str(run)), run)
