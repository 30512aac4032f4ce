"""A language without blanks from pictures to captions: trained, resumed, rewarded, scored, shown."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import draw_coco, merged, tiny_settings

import showtell
from showtell.checkpointing.io import load_checkpoint
from showtell.checkpointing.resume import ResumeError
from showtell.config import Config, ConfigError, parse
from showtell.data.shards.command import Limits, write_shards
from showtell.prediction.captioner import Captioner
from showtell.prediction.ensemble import Ensemble
from showtell.run import Run
from showtell.training.data_module import CaptionDataModule
from showtell.training.train import train

WORDS = {"red": "红色", "green": "绿色", "blue": "蓝色", "yellow": "黄色", "disc": "圆盘", "box": "方块"}


def translated(caption: str) -> str:
    color, kind = re.search(r"(red|green|blue|yellow) (disc|box)", caption).groups()  # type: ignore[union-attr]
    if caption.startswith("A "):
        return f"一个{WORDS[color]}的{WORDS[kind]}。"
    return f"灰色地面上有一个{WORDS[color]}的{WORDS[kind]}。"


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = draw_coco(tmp_path_factory.mktemp("chinese") / "data")
    for file in (root / "annotations").iterdir():
        content = json.loads(file.read_text())
        for one in content["annotations"]:
            one["caption"] = translated(one["caption"])
        file.write_text(json.dumps(content))
    return root


@pytest.fixture(scope="module")
def settings(chinese: Path) -> dict[str, Any]:
    found = tiny_settings(chinese, chinese.parent / "cache")
    training = {"max_epochs": 8, "learning_rate": 0.03, "monitor": "val/cider"}
    return merged(found, vocab={"threshold": 2, "tokenizer": "characters"}, training=training)


@pytest.fixture(scope="module")
def run(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    directory = tmp_path_factory.mktemp("runs") / "chinese"
    train(parse(settings), directory)
    yield Run(directory)


def config(settings: dict[str, Any], **sections: Any) -> Config:
    return parse(merged(settings, **sections))


def test_captions_are_written_without_blanks(run: Run, chinese: Path) -> None:
    assert set("红绿的圆。") < set(run.vocabulary_file.read_text().split("\n"))
    found = showtell.load(run.directory).caption(sorted((chinese / "val").iterdir()))
    assert all(re.fullmatch(r"[\u4e00-\u9fff。]+", one.captions[0]) for one in found)
    assert {one.captions[0][-1] for one in found} == {"。"}
    shown = json.loads((run.predictions / "captions_val.json").read_text())
    assert all(" " not in one["caption"] for one in shown)


def test_scores_are_of_characters(run: Run) -> None:
    status = run.status()
    assert status is not None and status.best is not None and status.best > 0.3
    head = run.metrics_file.read_text().partition("\n")[0]
    assert "val/cider" in head and "val/novel" in head
    assert "bad_endings" not in head and "repeated_words" not in head  # which are lists of English words


def test_a_resume_goes_on_and_refuses_other_words(run: Run, settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match=r"vocab.tokenizer"):
        train(config(settings, resume=str(run.directory), vocab={"tokenizer": "words"}), tmp_path / "refused")
    before = load_checkpoint(run.last)["global_step"]
    train(config(settings, resume=str(run.directory), training={"max_epochs": 9}), run.directory)
    assert load_checkpoint(run.last)["global_step"] == before * 9 / 8


def test_a_second_stage_is_rewarded_for_characters(run: Run, settings: dict[str, Any], tmp_path: Path) -> None:
    objective = {"name": "self_critical", "drawn_captions": 2}
    training = {"max_epochs": 1, "learning_rate": 1e-4}
    # the first stage's tokenizer counts, whatever is said here
    stage = config(settings, init_from=str(run.best), objective=objective, training=training)
    train(stage, tmp_path / "scst")
    rows = (tmp_path / "scst" / "metrics.csv").read_text().splitlines()
    reward = rows[0].split(",").index("train/reward")
    assert max(float(row.split(",")[reward] or 0) for row in rows[1:]) > 0.2


def test_a_model_of_words_is_not_averaged_with_one_of_characters(run: Run, tiny_run: Path) -> None:
    members = [("zh", Captioner.from_checkpoint(run.directory)), ("en", Captioner.from_checkpoint(tiny_run))]
    with pytest.raises(ConfigError, match=r"en was trained with vocab.tokenizer=nltk, zh with characters: their words"):
        Ensemble(members)


def test_shards_are_cut_into_characters_too(chinese: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    write_shards(config(settings).data, tmp_path / "shards", Limits(9, 1, 0), tmp_path / "cache")
    data = {"name": "shards", "format": "shards", "root": str(tmp_path / "shards"), "num_workers": 0}
    streamed = {**settings, "data": data, "cache": str(tmp_path / "cache")}
    with pytest.raises(ConfigError, match="the training captions have none"):
        train(config(streamed, vocab={"tokenizer": "nltk"}), tmp_path / "run")
    assert not list((tmp_path / "cache").rglob("features*"))
    module = CaptionDataModule(config(streamed, features={"mode": "off"}))
    assert {"红", "色", "。"} < set(module.vocabulary.words)
    assert module.vocabulary.words == CaptionDataModule(config(settings)).vocabulary.words


@pytest.mark.parametrize(
    ("vocab", "message"),
    [
        ({"tokenizer": "nltk"}, "cuts words at blanks, and the training captions have none"),
        ({"threshold": 1000}, r"vocab.threshold=1000 keeps 0 of \d+ words"),
    ],
)
def test_what_nothing_can_be_learnt_from_is_refused_before_a_picture_is_encoded(
    settings: dict[str, Any], tmp_path: Path, vocab: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(config(settings, vocab=vocab, cache=str(tmp_path / "cache")), tmp_path / "run")
    assert not (tmp_path / "cache" / "features").exists() and not (tmp_path / "run").exists()
