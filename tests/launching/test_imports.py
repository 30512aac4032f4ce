"""What starting waits for: nothing is imported that is not used."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from showtell.config import Config
from showtell.processes import SIGNALS
from showtell.run import Run

ROOT = Path(__file__).resolve().parents[2]
UNUSED = "torchvision", "timm", "transformers", "torchmetrics.functional", "hydra"
UNUSED_BY_PREDICTION = (
    *UNUSED, "pytorch_lightning", "lightning_fabric", "torchmetrics", "tensorboard", "torch._dynamo", "nltk",
    "showtell.gallery", "showtell.evaluation.metrics", "showtell.data.formats.coco", "showtell.data.shards.unpack",
)  # fmt: skip
SCRIPT = """
import atexit, runpy, sys
atexit.register(lambda: print("imported:", *(name for name in {unused} if name in sys.modules)))
sys.argv = [{script!r}, *{words}]
runpy.run_path({script!r}, run_name="__main__")
"""


def run(script: str, unused: tuple[str, ...], *words: object) -> list[str]:
    """What a script says, and last what it imported of what it should not."""
    code = SCRIPT.format(unused=unused, script=str(ROOT / script), words=[str(word) for word in words])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_training_and_captioning_with_the_offline_encoder_import_what_they_use(
    tiny_config: Callable[..., Config], tiny_coco: Path, tmp_path: Path
) -> None:
    """A run as a sweep starts it, and one photograph: without torchvision, which takes longer than all else."""
    encoder = {"name": "efficientnet_lite0", "weights": "imagenet", "image_size": 32, "pooling": "average"}
    job = Run(tmp_path / "run")
    job.create(tiny_config(encoder=encoder, training={"max_epochs": 1}))
    assert run("train.py", UNUSED, "--run", job.directory)[-1] == "imported:"
    picture = next((tiny_coco / "val").iterdir())
    caption, imported = run("predict.py", UNUSED_BY_PREDICTION, job.directory, picture)
    assert caption.startswith(f"{picture}\t") and imported == "imported:"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_amid_imports_ends_a_run_also_where_its_exception_would_be_swallowed(
    tiny_config: Callable[..., Config], tmp_path: Path, number: signal.Signals
) -> None:
    """As by torch, when it imports numpy."""
    code = f"import os\ntry:\n    os.kill(os.getpid(), {number})\nexcept BaseException:\n    pass\n"
    (tmp_path / "torch.py").write_text(code)
    job = Run(tmp_path / "run")
    job.create(tiny_config())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "src")])}
    command = [sys.executable, "train.py", "--run", str(job.directory)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert (ended.returncode, ended.stderr) == (128 + number, "")
    assert ended.stdout.splitlines()[1].startswith(f"stopped by {number.name}; go on with: ")


@pytest.mark.slow  # the whole of it takes long
def test_of_torchmetrics_lightning_gets_what_it_needs_and_others_all_of_it() -> None:
    code = """
import sys
from showtell.launching.imports import postpone_torchmetrics
postpone_torchmetrics()
import pytorch_lightning.core.module as lightning
assert "torchmetrics.functional" not in sys.modules
import torchmetrics
assert not hasattr(torchmetrics, "__nothing__") and "torchmetrics.functional" not in sys.modules
assert torchmetrics.Accuracy(task="binary") and "torchmetrics.functional" in sys.modules
assert torchmetrics.Metric is lightning.Metric and isinstance(torchmetrics.SumMetric(), lightning.Metric)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
