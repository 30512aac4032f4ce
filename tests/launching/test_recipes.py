"""Recipes that draw at random, or train the encoder, with two ranks.

What a rank draws (captions to reward, regions to look at, words to go on from) is its own, so such a run is not that of
one process. What holds: all ranks have the same weights at every step, to the bit, and a resume is exact.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.conftest import REPOSITORY, merged
from tests.launching.conftest import Start, free_port, numbers

from showtell.config.migration import migrated

pytestmark = pytest.mark.slow
TWINS = REPOSITORY / "tests" / "launching" / "twins.py"
SMALL = {"hidden_size": 8, "embedding_size": 8, "attention_size": 8, "region_size": 8, "num_heads": 2, "num_layers": 1}
# conf/experiment/scst.yaml, smaller; a cosine would be stretched by the cut
REWARDED = {
    "objective": "self_critical", "drawn_captions": 3, "baseline": "mean", "reward_dropout": 0.5, "gradient_clip": 1.0,
    "cross_entropy_weight": 0.2, "learning_rate": 1e-3, "weight_average": 0.9, "monitor": "val/cider",
}  # fmt: skip
UNMIXED = {**REWARDED, "cross_entropy_weight": 0.0, "baseline": "greedy", "reward_dropout": 0.0}
FIRST_STAGE = {"scheduled_sampling": 0.4, "label_smoothing": 0.1, "weight_average": 0.9}
CASES = {
    "lstm, rewarded": ("lstm", REWARDED),
    "attention, rewarded": ("attention", REWARDED),
    "hard attention, rewarded": ("hard_attention", REWARDED),
    "hard attention, rewards alone": ("hard_attention", UNMIXED),
    "top-down, rewarded": ("topdown", UNMIXED),
    "transformer, rewarded": ("transformer", REWARDED),
    "hard attention, own words": ("hard_attention", FIRST_STAGE),
    "top-down, own words": ("topdown", FIRST_STAGE),
    "transformer, own words": ("transformer", FIRST_STAGE),
}


def twins(start: Start, stages: dict[str, Any]) -> None:
    """Trains the stages, one after the other, with two ranks each."""
    file = start.folder / "stages.json"
    # the cases say all a recipe changes under `training`, and sizes for every decoder, as old configurations did
    file.write_text(json.dumps({name: migrated(stage) for name, stage in stages.items()}))
    torchrun = ("-m", "torch.distributed.run", f"--master_port={free_port()}", "--nproc_per_node=2")
    training = start.raw([*torchrun, str(TWINS), str(file), str(start.folder)], start.folder / next(iter(stages)))
    assert training.wait() == 0, training.said
    assert "find_unused_parameters" not in training.said or "scheduled_sampling" in file.read_text(), training.said


def weights(start: Start, name: str) -> dict[str, torch.Tensor]:
    """What a stage ended with, the same on both ranks."""
    first, second = (torch.load(start.folder / f"{name}-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first.keys() == second.keys() and first
    assert [key for key in first if not torch.equal(first[key], second[key])] == []
    return first


def last(start: Start, name: str) -> dict[str, torch.Tensor]:
    return torch.load(start.folder / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def check(start: Start, base: dict[str, Any], training: dict[str, Any]) -> None:
    """A run, and the same one stopped in the middle of its second epoch and resumed."""
    whole = merged(base, training={"max_epochs": 2, "batch_size": 11, "log_every_steps": 1, **training})
    parts = merged(whole, training={"max_steps": 7})
    twins(start, {"whole": whole, "parts": parts, "resumed": {**whole, "resume": str(start.folder / "parts")}})
    trained = weights(start, "whole")
    cut, resumed = weights(start, "parts"), weights(start, "resumed")
    assert any(not torch.equal(cut[name], trained[name]) for name in trained)
    assert all(torch.equal(resumed[name], trained[name]) for name in trained)
    expected, reached = last(start, "whole"), last(start, "resumed")
    assert all(torch.equal(reached[name], expected[name]) for name in expected)  # buffers too
    assert all(math.isfinite(value) for _, value in numbers(start.folder / "whole"))


@pytest.mark.parametrize("case", CASES)
def test_ranks_keep_the_same_weights_and_resume_exactly(start: Start, case: str) -> None:
    decoder, recipe = CASES[case]
    base = merged(start.settings, decoder={**SMALL, "name": decoder})
    if "objective" in recipe:
        twins(start, {"first": merged(base, training={"max_epochs": 1, "batch_size": 11})})
        base = merged(base, init_from=str(start.folder / "first"))
    check(start, base, recipe)


def test_ranks_that_tune_the_encoder_keep_the_same_blocks(start: Start, tmp_path: Path) -> None:
    """conf/experiment/finetune.yaml with dropout: a rank's own, so it is not one process's run."""
    twins(start, {"first": merged(start.settings, training={"max_epochs": 1, "batch_size": 11})})
    tuned = merged(
        start.settings,
        init_from=str(start.folder / "first"),
        encoder={"finetune_blocks": 2},
        features={"mode": "off"},
        data={"augment": {"crop_area": 0.7, "jitter": 0.2}, "num_workers": 1},
    )
    recipe = {"encoder_learning_rate": 1e-4, "warmup_steps": 3, "weight_average": 0.9, "gradient_clip": 5.0}
    check(start, tuned, recipe)
    assert any(name.startswith("finetuned_ema.") for name in weights(start, "whole"))
