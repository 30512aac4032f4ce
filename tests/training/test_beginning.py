"""What is refused before the first picture is drawn or encoded, and what a run says until its first step."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import draw_coco

from showtell.config import Config
from showtell.data.features import store as store_module
from showtell.data.features.store import WAITING
from showtell.errors import USER_ERROR, UserError
from showtell.training.train import train

MakeConfig = Callable[..., Config]
Main = Callable[..., Path]
SMALL = ["encoder=resnet18", "encoder.weights=none", "vocab.threshold=1", "device=cpu", "data.num_workers=0"]


def encoded(cache: Path) -> list[Path]:
    return list(cache.glob("features/*"))


def test_a_metric_that_nobody_logs_is_refused_before_anything_is_drawn(
    main: Main, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(*SMALL, f"data.root={tmp_path}/shapes", f"cache={tmp_path}/cache", "training.monitor=val/CIDEr")
    said = capsys.readouterr().err
    assert ended.value.code == USER_ERROR and "val/cider" in said and "val/true" in said
    assert not (tmp_path / "shapes").exists() and not (tmp_path / "run").exists()


def test_a_metric_of_ones_own_is_asked_before_a_picture_is_encoded(tiny_config: MakeConfig, tmp_path: Path) -> None:
    words = {"vocab": {"tokenizer": "words"}, "training": {"monitor": "val/repeated_words"}}  # known in English alone
    with pytest.raises(UserError, match=r"val/repeated_words' is not logged by validation"):
        train(tiny_config(**words, cache=str(tmp_path / "cache")), tmp_path / "run")
    config = tiny_config(training={"metrics": ["bleu"], "monitor": "val/nothing"}, cache=str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"val/nothing.*val/bleu4"):
        train(config, tmp_path / "run")
    assert not encoded(tmp_path / "cache")


def test_a_first_stage_with_other_words_is_refused_before_a_picture_is_encoded(
    tiny_config: MakeConfig, tiny_run: Path, tmp_path: Path
) -> None:
    root = draw_coco(tmp_path / "coco", train=3, val=1)
    data = {"data": {"root": str(root)}, "cache": str(tmp_path / "cache")}
    with pytest.raises(UserError, match="its vocabulary"):
        train(tiny_config(init_from=str(tiny_run), **data), tmp_path / "run")
    assert not encoded(tmp_path / "cache") and not (tmp_path / "run").exists()


def test_missing_captions_of_validation_are_noticed_before_a_picture_is_encoded(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    root = draw_coco(tmp_path / "coco", train=3, val=1)
    (root / "annotations" / "captions_val.json").unlink()
    with pytest.raises(UserError, match=r"captions_val\.json"):
        train(tiny_config(data={"root": str(root)}, cache=str(tmp_path / "cache")), tmp_path / "run")
    assert not encoded(tmp_path / "cache")


def test_word_vectors_that_are_not_there_are_noticed_before_a_picture_is_encoded(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    config = tiny_config(decoder={"word_vectors": str(tmp_path / "none.txt")}, cache=str(tmp_path / "cache"))
    with pytest.raises((UserError, OSError), match=r"none\.txt"):
        train(config, tmp_path / "run")
    assert not encoded(tmp_path / "cache")


def test_features_that_do_not_fit_on_the_disk_are_refused_before_the_first(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """24 + 6 pictures with 512 numbers of 4 bytes: 61,440 bytes for both splits."""

    def usage(place: Path) -> object:
        return type("Usage", (), {"free": 61_439 if place.is_relative_to(tmp_path / "cache") else 10**9})

    monkeypatch.setattr("showtell.data.features.room.shutil.disk_usage", usage)
    with pytest.raises(UserError, match="the features need"):
        train(tiny_config(cache=str(tmp_path / "cache")), tmp_path / "run")
    assert not encoded(tmp_path / "cache")


def test_a_few_steps_encode_the_pictures_that_they_use(tiny_config: MakeConfig, tmp_path: Path) -> None:
    """And a later run the others, with the same answers."""
    few = {"limit_train_batches": 2, "limit_val_batches": 1, "max_epochs": 1, "batch_size": 2}
    train(tiny_config(training=few, cache=str(tmp_path / "cache")), tmp_path / "few")
    (store,) = tmp_path.glob("cache/features/tiny-train-*")
    assert np.count_nonzero(np.fromfile(store / "state.bin", np.uint8) != WAITING) <= 4
    assert not (store / "complete").exists()
    train(tiny_config(training=few | {"limit_train_batches": 0}, cache=str(tmp_path / "cache")), tmp_path / "all")
    assert (store / "complete").exists()
    told = [json.loads((tmp_path / name / "status.json").read_text())["state"] for name in ("few", "all")]
    assert told == ["finished", "finished"]


def test_a_run_tells_what_it_has(main: Main, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = main(
        *SMALL, "debug=fast", f"data.root={tmp_path}/shapes", f"cache={tmp_path}/cache", "encoder.image_size=32",
        "data.shapes.train_pictures=6", "data.shapes.val_pictures=2",
    )  # fmt: skip
    lines = capfd.readouterr().out.splitlines()
    first = [line.partition(" ")[0] for line in lines]
    order = ["run", "device", "drawing", "captions", "data", "words", "encoder", "model", "store", "encoding", "epoch"]
    assert [word for word in dict.fromkeys(first) if word in order] == order
    assert lines[0].split()[1] == str(run) and not any("\r" in line or "\x1b" in line for line in lines)
    assert "6 + 2 pictures, 30 + 10 captions in " in "\n".join(lines)
    (told,) = [line for line in lines if line.startswith("store")]
    assert told.startswith(f"store     8 pictures, each 1 x 640 float16: 10.2 kB in {tmp_path}/cache/features, ")
    main(*SMALL, "debug=fast", f"data.root={tmp_path}/shapes", f"cache={tmp_path}/cache", "encoder.image_size=32",
         "data.shapes.train_pictures=6", "data.shapes.val_pictures=2")  # fmt: skip
    assert "store " not in capfd.readouterr().out


def test_a_stop_while_pictures_are_encoded_tells_how_to_go_on(
    main: Main, tmp_path: Path, tiny_coco: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    encoding = store_module.encoded

    def stopped(*args: Any) -> Any:
        yield next(encoding(*args))
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(store_module, "encoded", stopped)
    with pytest.raises(SystemExit) as ended:
        main(*SMALL, "data.format=coco", f"data.root={tiny_coco}", f"cache={tmp_path}/cache", "features.batch_size=8")
    last = capfd.readouterr().out.splitlines()[-1]
    assert ended.value.code == 128 + signal.SIGTERM
    assert last.startswith("stopped by SIGTERM; go on with: ") and last.endswith(f"train.py --run {tmp_path / 'run'}")
    (store,) = tmp_path.glob("cache/features/*train*")
    assert np.count_nonzero(np.fromfile(store / "state.bin", np.uint8)) == 8
