"""`predict.py CKPT --annotations ...`: result file, scores, table."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO
from tests.prediction.conftest import Said, load

from showtell.config import Config, parse
from showtell.errors import ConfigError, UserError
from showtell.evaluation.metrics import score_captions
from showtell.training.train import train

pytestmark = pytest.mark.usefixtures("no_java")
Call = Callable[..., Said]
Words = list[object]


def test_result_file_is_valid_for_the_evaluation_server(call: Call, tiny_run: Path, val: Words, tmp_path: Path) -> None:
    said = call(tiny_run, *val, "--output", tmp_path / "res.json")
    assert said.status == 0
    truth = COCO(str(val[1]))
    for file in (tmp_path / "res.json", tiny_run / "predictions/captions_val.json"):
        results = truth.loadRes(str(file))
        assert sorted(results.getImgIds()) == sorted(truth.getImgIds())
        assert all(set(entry) == {"image_id", "caption"} for entry in load(file))


def test_scores_are_those_of_the_captions(call: Call, tiny_run: Path, val: Words, tmp_path: Path) -> None:
    said = call(tiny_run, *val, "--beam", 3, "--output", tmp_path / "res.json")
    written = load(tmp_path / "res.scores.json")
    truth = COCO(str(val[1]))
    references = {i: [a["caption"] for a in truth.imgToAnns[i]] for i in truth.getImgIds()}
    expected = score_captions({e["image_id"]: e["caption"] for e in load(tmp_path / "res.json")}, references)
    assert written["scores"] == {k: v for k, v in expected.corpus.items() if k != "cider_d"}
    assert {p["image_id"]: p["cider"] for p in written["pictures"]} == {
        i: p["cider"] for i, p in expected.pictures.items()
    }
    assert written["decoding"]["beam_size"] == 3
    assert f"CIDEr {expected.corpus['cider']:.4f}" in " ".join(said.out.split())
    assert said.out.startswith("captions_val.json: 6 pictures, 12 references\n")
    assert written["scored_on"] == {
        "name": "captions_val.json", "split": None, "pictures": 6, "references": 12, "captioned": 6
    }  # fmt: skip


def test_what_is_missing_is_a_note(call: Call, tiny_run: Path, val: Words, tmp_path: Path) -> None:
    said = call(tiny_run, *val, "--scores", tmp_path / "s.json")
    assert "note: METEOR left out: there is no `java` on the PATH" in said.err
    assert load(tmp_path / "s.json")["variety"]["novel"] is not None


def test_training_captions_that_moved_are_a_note(call: Call, tiny_config, val: Words, tmp_path: Path) -> None:
    from tests.conftest import draw_coco

    from showtell.training.train import train

    root = draw_coco(tmp_path / "moving", train=8, val=2)
    train(tiny_config(data={"root": str(root)}, training={"max_epochs": 1}), tmp_path / "run")
    shutil.rmtree(root)
    said = call(tmp_path / "run", *val, "--scores", tmp_path / "s.json")
    assert said.status == 0
    assert "note: share of new captions left out: the training captions are not at hand" in said.err
    assert load(tmp_path / "s.json")["variety"]["novel"] is None


def test_pictures_that_cannot_be_read_are_skipped_and_named(
    call: Call, tiny_run: Path, without_one: Words, tmp_path: Path
) -> None:
    said = call(tiny_run, *without_one, "--output", tmp_path / "res.json", "--gallery", tmp_path / "page.html")
    assert said.status == 1
    assert said.err.count("skipped: ") == 2
    assert f"note: 2 of the 6 pictures are missing in {tmp_path}/res.json; an evaluation server wants one" in said.err
    assert said.out.startswith("captions_val.json: 4 pictures, 8 references\n")
    assert len(load(tmp_path / "res.json")) == len(load(tmp_path / "res.scores.json")["pictures"]) == 4


@pytest.fixture
def annotations(tiny_coco: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], dict[str, Any]]], Words]:
    """Makes other annotations of the validation pictures."""

    def make(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Words:
        file = tmp_path / "image_info.json"
        file.write_text(json.dumps(change(load(tiny_coco / "annotations/captions_val.json"))))
        return ["--annotations", file, "--images", tiny_coco / "val"]

    return make


@pytest.mark.parametrize("annotated", [{}, {"annotations": []}])
def test_pictures_that_nobody_described_are_captioned_for_the_evaluation_server(
    call: Call, tiny_run: Path, annotations: Any, tmp_path: Path, annotated: dict[str, Any]
) -> None:
    words = annotations(lambda content: {"images": content["images"], **annotated})
    said = call(tiny_run, *words, "--output", tmp_path / "res.json", "--gallery", tmp_path / "page.html")
    assert said.status == 0 and said.err == "note: nobody described these pictures: captioned without scores\n"
    assert said.out.startswith("image_info.json: 6 pictures, no references\n") and "CIDEr" not in said.out
    words[1].write_text(json.dumps({"annotations": [], **load(words[1])}))  # what loadRes asks for
    truth = COCO(str(words[1]))
    results = truth.loadRes(str(tmp_path / "res.json"))
    assert sorted(results.getImgIds()) == sorted(truth.getImgIds()) and len(load(tmp_path / "res.json")) == 6
    assert not (tmp_path / "res.scores.json").exists()
    with pytest.raises(ConfigError, match=r"--scores: image_info\.json has no captions to score against"):
        call(tiny_run, *words, "--scores", tmp_path / "s.json")


def test_scores_count_only_pictures_with_references(
    call: Call, tiny_run: Path, val: Words, annotations: Any, tmp_path: Path
) -> None:
    call(tiny_run, *val, "--scores", tmp_path / "all.json")
    some = annotations(lambda all: {**all, "annotations": [a for a in all["annotations"] if a["image_id"] < 1004]})
    said = call(tiny_run, *some, "--output", tmp_path / "res.json")
    assert said.out.startswith("image_info.json: 3 of 6 pictures, 6 references\n")
    assert "note: nobody described 3 of the 6 pictures: captioned, left out of the scores" in said.err
    assert len(load(tmp_path / "res.json")) == 6
    rows = load(tmp_path / "res.scores.json")["pictures"]
    assert ["cider" in row for row in rows] == [True] * 3 + [False] * 3
    bleu = [row["bleu4"] for row in load(tmp_path / "all.json")["pictures"]]
    assert [row.get("bleu4") for row in rows] == [*bleu[:3], None, None, None]


def test_nocaps_is_scored_by_domain_too(
    call: Call, tiny_run: Path, val: Words, annotations: Any, tmp_path: Path
) -> None:
    """Each domain is scored as a set of its own: as a file that holds its pictures alone."""
    domains = {image: "in-domain" if image < 1004 else "out-domain" for image in range(1001, 1007)}

    def with_domains(content: dict[str, Any]) -> dict[str, Any]:
        images = [{**image, "domain": domains[image["id"]]} for image in content["images"]]
        return {**content, "images": images}

    words = annotations(with_domains)
    said = call(tiny_run, *words, "--scores", tmp_path / "all.json")
    found = load(tmp_path / "all.json")["domains"]
    assert list(found) == ["in-domain", "out-domain"] and found["in-domain"]["pictures"] == 3
    assert f"{found['out-domain']['cider']:.4f}" in said.out.partition("CIDEr of 3 out-domain")[2].splitlines()[0]
    only = annotations(lambda all: {
        "images": [image for image in all["images"] if image["id"] < 1004],
        "annotations": [note for note in all["annotations"] if note["image_id"] < 1004],
    })  # fmt: skip
    call(tiny_run, *only, "--scores", tmp_path / "in.json")
    alone = load(tmp_path / "in.json")
    assert found["in-domain"] == {"pictures": 3, **alone["scores"]} and "domains" not in alone


def test_a_table_is_scored_like_coco_s_file(call: Call, tiny_run: Path, val: Words, tmp_path: Path) -> None:
    call(tiny_run, *val, "--scores", tmp_path / "coco.json")
    content = load(Path(str(val[1])))
    names = {image["id"]: image["file_name"] for image in content["images"]}
    rows = [f"{names[note['image_id']]}\t{note['caption']}\n" for note in content["annotations"]]
    (tmp_path / "captions.tsv").write_text("".join(rows))
    call(tiny_run, "--annotations", tmp_path / "captions.tsv", val[2], val[3], "--scores", tmp_path / "tsv.json")
    assert load(tmp_path / "tsv.json")["scores"] == load(tmp_path / "coco.json")["scores"]


def test_a_split_of_the_runs_own_data(call: Call, tiny_run: Path, val: Words, tmp_path: Path) -> None:
    by_hand = call(tiny_run, *val, "--scores", tmp_path / "a.json")
    said = call(tiny_run, "--split", "val", "--scores", tmp_path / "b.json")
    assert said.out.startswith("val split of tiny: 6 pictures, 12 references\n")
    assert said.out.replace("|split:val|", "|split:-|").splitlines()[1:] == by_hand.out.splitlines()[1:]
    first, second = load(tmp_path / "a.json"), load(tmp_path / "b.json")
    assert second["scored_on"] == {**first["scored_on"], "name": "val split of tiny", "split": "val"}
    assert second["pictures"] == first["pictures"]
    assert call(tiny_run, "--split", "train").out.startswith("train split of tiny: 24 pictures, 48 references\n")


def test_a_split_is_read_as_it_is_though_training_changed_its_pictures(
    call: Call, tiny_config: Callable[..., Config], tiny_coco: Path, tmp_path: Path
) -> None:
    """As the second stage of `experiment=photos` does."""
    changed = {"data": {"augment": {"flip": True}}, "features": {"views": 2}, "training": {"max_epochs": 1}}
    train(tiny_config(**changed), tmp_path / "run")
    said = call(tmp_path / "run", "--split", "val", f"data.root={tiny_coco}")
    assert said.out.startswith("val split of tiny: 6 pictures, 12 references\n")


def test_data_that_lie_elsewhere_and_a_test_split_named_later(
    call: Call, tiny_run: Path, tiny_coco: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_coco, tmp_path / "moved")
    (tmp_path / "moved/val").rename(tmp_path / "moved/later")
    words = [f"data.root={tmp_path}/moved", "data.test_annotations=annotations/captions_val.json"]
    said = call(tiny_run, "--split", "test", *words, "data.test_images=later", "--scores", tmp_path / "s.json")
    assert said.status == 0 and said.out.startswith("test split of tiny: 6 pictures, 12 references\n")
    assert load(tmp_path / "s.json")["variety"]["novel"] is not None  # of the training captions where they lie now


def test_other_data_than_the_runs_own(call: Call, tiny_run: Path, tiny_coco: Path, tmp_path: Path) -> None:
    """A split of Flickr8k's files as published; its pictures are described there alone."""
    names = sorted(path.name for path in (tiny_coco / "val").iterdir())
    (tmp_path / "Flickr8k.token.txt").write_text("".join(f"{name}#0\ta red disc\n" for name in names))
    for list_, chosen in (("train", names[:2]), ("dev", names[2:3]), ("test", names[3:])):
        (tmp_path / f"Flickr_8k.{list_}Images.txt").write_text("\n".join(chosen))
    (tmp_path / "Flicker8k_Dataset").symlink_to(tiny_coco / "val")
    said = call(tiny_run, "--split", "test", "data=flickr8k", f"data.root={tmp_path}")
    assert said.out.startswith("test split of flickr8k: 3 pictures, 3 references\n")


def test_a_further_metric_is_scored_or_a_note_says_why_not(call: Call, tiny_run: Path) -> None:
    said = call(tiny_run, "--split", "val", "--metrics", "clipscore", "--clip-model", "nowhere/none")
    assert "CLIPSCORE left out: " in said.out + said.err and "CIDEr" in said.out


def test_a_split_in_shards_is_unpacked(call: Call, tiny_run: Path, tiny_coco: Path, tmp_path: Path) -> None:
    from showtell.data.shards.command import Limits, write_shards

    data = parse({"data": {"name": "tiny", "format": "coco", "root": str(tiny_coco)}}).data
    write_shards(data, tmp_path, Limits(samples=4, megabytes=1, seed=0), tmp_path / "cache")
    words = ["data=shards", f"data.root={tmp_path}", "data.test_shards=val-*.tar"]
    assert call(tiny_run, "--split", "test", *words).out.startswith("test split of shards: 6 pictures, 12 references\n")
    with pytest.raises(UserError, match="the training split is streamed"):
        call(tiny_run, "--split", "train", *words)


def test_the_wrong_folder_is_one_line(call: Call, tiny_run: Path, val: Words, tiny_coco: Path) -> None:
    with pytest.raises(ConfigError, match=r"--images .*: no picture of .* can be read there; .*val_000000001001.jpg"):
        call(tiny_run, *val[:3], tiny_coco / "train")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--annotations", "a.json"], "--annotations: say with --images DIR where its pictures lie"),
        (["--annotations", "a.json", "--images", "."], "--annotations a.json: is not there"),
        (
            ["x.jpg", "--annotations", "a.json", "--images", "."],
            "x.jpg: with --annotations, pictures come from --images",
        ),
        (
            ["x.jpg", "--scores", "s.json"],
            "--scores: nothing to score against; give --annotations FILE or --split test",
        ),
        (["x.jpg", "--split", "val"], "x.jpg: with --split, pictures come from the run's own data"),
        (
            ["--split", "val", "--annotations", "a.json", "--images", "."],
            "--annotations and --split both name pictures",
        ),
        (["x.jpg", "data.root=x"], "data.root=x: belongs to --split train, val or test"),
        (["--split", "test"], "data=tiny has no test split, only train and val; name its captions by data.test_annota"),
        (["--split", "val", "data.root=nowhere"], "data.root=nowhere is no folder; set it to where tiny lies"),
        (["--split", "val", "data.rot=x"], "data.rot: there is no such setting"),
        (["--split", "val", "data.extra_captions=x.json"], "data.extra_captions: pictures are captioned as they are"),
        (["--split", "val", "--clip-model", "dir"], "--clip-model has no effect without --metrics clipscore"),
        (["--split", "val", "--metrics", "clipscroe"], "--metrics clipscroe is not an option; choose one of bleu"),
        (["x.jpg", "--ensemble"], "--ensemble needs several checkpoints, and only one is named"),
        ([], "no picture is named; name pictures or folders after the checkpoint"),
    ],
)
def test_words_that_cannot_be_meant_are_one_line(call: Call, tiny_run: Path, words: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        call(tiny_run, *words)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
