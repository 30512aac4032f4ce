"""A run that is killed anywhere and resumed leaves the bits of the run that nobody touched."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.reliability.conftest import Forge
from tests.reliability.outcome import differences, outcome

from showtell.checkpointing.archive import DamagedError
from showtell.checkpointing.io import load_checkpoint

KILLED = -9
WAYS: dict[str, dict[str, Any]] = {
    "store": {},
    "accumulation": {"training": {"accumulate_batches": 3, "schedule": "cosine", "warmup_steps": 2}},
    "plateau": {"training": {"schedule": "plateau", "checkpoint_every_steps": 2}, "decoder": {"dropout": 0.5}},
    "early stopping": {
        "training": {
            "early_stopping_epochs": 1,
            "monitor": "val/cider",
            "monitor_mean": 2,
            "max_epochs": 4,
            "checkpoint_every_steps": 3,
        }
    },
    "max_steps": {"training": {"max_steps": 7, "gradient_clip": 0.5, "weight_decay": 0.01}},
    "pictures": {"features": {"mode": "off"}},
    "pictures, 2 workers": {
        "features": {"mode": "off"},
        "data": {"num_workers": 2},
        "training": {"schedule": "cosine", "accumulate_batches": 2},
    },
}

SEEDED = list(WAYS)  # the ways that a seed chooses among
_TUNED: dict[str, Any] = {
    "features": {"mode": "off"},
    "data": {"augment": {"crop_area": 0.5, "jitter": 0.3, "flip": True}},
    "encoder": {"finetune_blocks": 2},
    "training": {"weight_average": 0.9, "schedule": "cosine", "encoder_learning_rate": 1e-3},
}
WAYS |= {
    "augmented and tuned": _TUNED,
    "augmented and tuned, 2 workers": {**_TUNED, "data": {**_TUNED["data"], "num_workers": 2}},
}


class Reference:
    """The run that nobody touched: what it leaves, and its moments."""

    def __init__(self, forge: Forge, way: str, directory: Path) -> None:
        trace = directory / "trace.json"
        assert forge.train(directory / "run", sections=WAYS[way], trace=str(trace)) == 0, forge.said
        self.outcome = outcome(directory / "run")
        self.moments: list[str] = json.loads(trace.read_text())
        self.first_checkpoint = self.moments.index("replace", self.moments.index("ChecksumWriter.write")) + 1

    def strike(self, seed: int) -> int:
        """A moment after the first checkpoint: first which kind, then which one."""
        generator = random.Random(seed)
        late = list(enumerate(self.moments))[self.first_checkpoint :]
        kind = generator.choice(sorted({name for _, name in late}))
        return generator.choice([i for i, name in late if name == kind])


@pytest.fixture(scope="session")
def reference(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reference]:
    """References by way, each made once."""
    made: dict[str, Reference] = {}

    def get(way: str) -> Reference:
        if way not in made:
            made[way] = Reference(forge, way, tmp_path_factory.mktemp("reference"))
        return made[way]

    return get


def started(forge: Forge, run_dir: Path, way: str, **options: Any) -> int:
    return forge.train(run_dir, sections=WAYS[way], **options)


def resumed(forge: Forge, run_dir: Path, way: str, **options: Any) -> int:
    return forge.train(run_dir, sections={**WAYS[way], "resume": str(run_dir)}, **options)


def check_whole(run_dir: Path) -> None:
    """What a kill left is whole, and is what a resume will take."""
    files = list((run_dir / "checkpoints").glob("*.ckpt"))
    assert files
    for path in files:
        load_checkpoint(path)


def no_temporaries(run_dir: Path) -> bool:
    return not list(run_dir.rglob("*.tmp")) and not list(run_dir.rglob(".*.tmp"))


def killed_and_resumed(forge: Forge, reference: Reference, way: str, strikes: list[int], run_dir: Path) -> list[str]:
    """Kills a run and its resumptions; returns in what the end differs from the reference."""
    for number, strike in enumerate(strikes):
        run = resumed if number else started
        code = run(forge, run_dir, way, strike=strike)
        assert code == KILLED, forge.said
        check_whole(run_dir)
    assert resumed(forge, run_dir, way) == 0, forge.said
    assert no_temporaries(run_dir)
    return differences(reference.outcome, outcome(run_dir))


@pytest.mark.parametrize("seed", range(20))
def test_sigkill(forge, reference, seed, tmp_path):
    way = SEEDED[seed % len(SEEDED)]
    untouched = reference(way)
    assert not killed_and_resumed(forge, untouched, way, [untouched.strike(seed)], tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 300))
def test_sigkill_200(forge, reference, seed, tmp_path):
    way = SEEDED[seed % len(SEEDED)]
    untouched = reference(way)
    assert not killed_and_resumed(forge, untouched, way, [untouched.strike(seed)], tmp_path / "run")


@pytest.mark.parametrize("way", ["store", "pictures, 2 workers"])
def test_killed_twice_in_one_epoch(forge, reference, way, tmp_path):
    untouched = reference(way)
    steps = [i for i, name in enumerate(untouched.moments) if name == "ExactSteps.on_train_batch_end"]
    second = untouched.moments.index("ExactSteps.on_train_batch_end", 2)  # a step after the first kill
    assert not killed_and_resumed(forge, untouched, way, [steps[2], second], tmp_path / "run")


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 20))])
@pytest.mark.parametrize("way", [way for way in WAYS if way not in SEEDED])
def test_sigkill_with_augmentation_and_tuned_blocks(forge, reference, way, seed, tmp_path):
    """Workers or not, it is also the same run."""
    untouched = reference(way)
    assert not killed_and_resumed(forge, untouched, way, [untouched.strike(seed)], tmp_path / "run")
    without_workers = reference("augmented and tuned").outcome
    assert untouched.outcome["last.state_dict"] == without_workers["last.state_dict"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_any_time(forge, reference, seed, tmp_path):
    """Not at one of the moments, but whenever the clock says."""
    way = SEEDED[seed % len(SEEDED)]
    run_dir = tmp_path / "run"
    seconds = random.Random(seed).uniform(0.3, 3.0)
    code = started(forge, run_dir, way, kill_after=seconds)
    assert code in (KILLED, 0)
    checkpoints = list((run_dir / "checkpoints").glob("*.ckpt"))
    again = resumed if checkpoints else started
    assert again(forge, run_dir, way) == 0, forge.said
    assert no_temporaries(run_dir)
    assert not differences(reference(way).outcome, outcome(run_dir))


MUTANTS_WAYS = {
    "wrong order": "store",
    "no reseed": "store",
    "loader's counter": "pictures, 2 workers",
    "position forgotten": "store",
    "temporary elsewhere": "store",
    "augmentation without a key": "augmented and tuned",
    "augmentation of the loader's epoch": "augmented and tuned, 2 workers",
}


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS_WAYS)
def test_every_mutant_is_noticed(forge, tmp_path, mutant):
    """The comparison above can fail: with each of these faults, it does."""
    way = MUTANTS_WAYS[mutant]
    trace = tmp_path / "trace.json"
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    if mutant == "temporary elsewhere":
        assert started(forge, parts, way, mutant=mutant) == KILLED
        with pytest.raises(DamagedError):
            check_whole(parts)
        return
    assert started(forge, whole, way, mutant=mutant, trace=str(trace)) == 0, forge.said
    steps = [i for i, name in enumerate(json.loads(trace.read_text())) if name == "CaptionModule.training_step"]
    assert started(forge, parts, way, mutant=mutant, strike=steps[-2]) == KILLED
    code = resumed(forge, parts, way, mutant=mutant)
    lost = not (parts / "checkpoints" / "best.ckpt").is_file()  # an epoch that ended without its validation
    assert code != 0 or lost or differences(outcome(whole), outcome(parts))
