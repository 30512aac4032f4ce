"""A loss that is not a number ends the real train.py at that step; the last finite checkpoint stays."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import torch
from tests.reliability.test_resume import one_line

from showtell.checkpointing.io import load_checkpoint


def finite(path: Path) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in load_checkpoint(path)["state_dict"].values())


def test_a_stored_feature_that_is_nan(forge, words, tmp_path):
    cache = Path(shutil.copytree(forge.overrides["cache"], tmp_path / "cache"))
    argv = words(f"cache={cache}")
    assert forge.job(argv=argv, directory=str(tmp_path)) == 0, forge.said
    shutil.rmtree(tmp_path / "run")
    for about_file in cache.glob("features/tiny-train-mobilenet*/about.json"):  # of this data set and its copies
        about = json.loads(about_file.read_text())
        shape = (about["pictures"], *about["feature_shape"])
        np.memmap(about_file.with_name("features.bin"), about["dtype"], "r+", shape=shape)[4] = np.nan
        # as older versions stored it, without checksums: taken as it is
        about_file.with_name("sums.bin").unlink()
        about_file.write_text(json.dumps({key: value for key, value in about.items() if key != "checksum"}))
    assert forge.job(argv=argv, directory=str(tmp_path)) == 2, forge.said
    said = one_line(forge)
    assert "the loss is not finite at step" in said
    named = re.search(r"the pictures ([\d, ]+)", said)
    assert named and "5" in named[1].split(", ")  # row 4 is the picture with the id 5
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert status["state"] == "failed" and "not finite" in status["reason"]


def test_a_learning_rate_that_explodes(forge, words, tmp_path):
    argv = words("training.learning_rate=1e37", "training.max_epochs=4")
    assert forge.job(argv=argv, directory=str(tmp_path)) == 2, forge.said
    assert "not finite" in one_line(forge)
    for path in (tmp_path / "run" / "checkpoints").glob("*.ckpt"):
        assert finite(path)
