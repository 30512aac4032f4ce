"""What a user sees of train.py before anything is trained: help, and one line for each mistake."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from showtell.config.command_line import checked_arguments
from showtell.config.words import flags_first

ROOT = Path(__file__).resolve().parents[1]


def run(*words: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *python, str(ROOT / "train.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)


@pytest.mark.parametrize("words", [["--help"], ["--cfg", "job"], ["nonsense=1"]])
def test_answers_without_importing_torch(words: list[str]) -> None:
    answer = run(*words, python=("-X", "importtime"))
    assert "showtell.config" in answer.stderr
    assert "| torch" not in answer.stderr.replace("|   ", "| ").replace("  ", " ")
    assert not any(line.split("|")[-1].strip() == "torch" for line in answer.stderr.splitlines())


def test_help_of_a_group_says_what_each_option_is() -> None:
    assert "tensorboard, csv" in run("--help", "logger").stdout
    text = run("--help", "encoder").stdout
    for option, what in (
        ("dinov2_s", "DINOv2 ViT-S/14, self-supervised on 142 M pictures; 22 M weights"),
        ("efficientnet_lite2", "EfficientNet-Lite; its ImageNet weights install with Showtell"),
        ("timm", "Any network of timm by its name"),
        ("resnet101", "torchvision's resnet101 with its newest ImageNet weights; encoder.weights takes another name"),
    ):
        assert re.search(rf"^  {option} +{re.escape(what)}", text, re.M), option
    assert re.search(r"^  lstm512 +lstm, embedding_size: 512, hidden_size: 512", run("--help", "decoder").stdout, re.M)


def test_help_names_every_group_with_an_example() -> None:
    text = run("--help").stdout
    for group in sorted(path.name for path in (ROOT / "conf").iterdir() if path.is_dir()):
        lines = [line for line in text.splitlines() if line.strip().startswith(group + " ")]
        assert lines and "python train.py" in lines[0], group


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("decoder.hiden_size=3", "decoder.hiden_size: there is no such setting; did you mean decoder.hidden_size=3?"),
        ("decoder.hidden_size=many", "decoder.hidden_size"),
        ("decoder.hidden_size=-1", "decoder.hidden_size=-1 is out of range; it must be at least 1"),
        ("decoder.dropout=1.5", "decoder.dropout=1.5 is out of range"),
        ("training.schedule=fast", "training.schedule='fast' is not an option; choose one of constant, cosine"),
        ("decoder=tranformer", "decoder=tranformer: there is no such option; did you mean decoder=transformer?"),
        ("experiment=none_such", "experiment=none_such: there is no such option"),
        ("training.learning_rate=0", "training.learning_rate=0.0 is out of range; it must be greater than 0"),
        ("seed=-1", "seed=-1 is out of range"),
        ("name=../x", "name='../x' cannot name a folder"),
        ("data=coco2014", "data.root=data/coco2014 is no folder"),
        ("device=gpu", "this machine has no usable GPU; use device=cpu"),
        ("encoder.name=resnet5", "encoder.name=resnet5 is no torchvision classifier"),
        ("encoder.pooling=average", "leaves decoder=attention a single region to attend to; use encoder.pooling=grid"),
        ("encoder.weights=my.pt", "encoder.weights=my.pt: no file of that name"),
        ("resume=runs/none_such", "there is no such run directory"),
        ("decoder={a", "error: "),
        ("--cfg", "there is no such configuration; choose one of job, hydra, all"),
        ("--cfg=", "--cfg: its value is missing"),
        ("--cfg=jobs", "--cfg jobs: there is no such configuration; choose one of job, hydra, all"),
        ("--config-dir=", "--config-dir: its value is missing"),
        ("-m --cfg job", "-m and --cfg do not go together; leave one of them out"),
        ("--experimental-rerun=x", "--experimental-rerun: there is no such option"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(
    word: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    answer = run(*word.split(), f"hydra.run.dir={tmp_path}/run", f"cache={tmp_path}/cache")
    said = [line for line in answer.stderr.splitlines() if line.strip()]
    assert message in said[-1]
    assert said[-1].startswith("error: ")
    assert len(said) == 1, answer.stderr
    assert answer.returncode == 2


def test_quick_help_says_what_hydras_says() -> None:
    quick, hydras = run("--help").stdout.splitlines(), run("--help", "seed=1").stdout.splitlines()
    assert [line for line in quick if line.strip()] == [line for line in hydras if line.strip()]


BROKEN_DECODER = """
from showtell.models.decoders import lstm

def broken(self, features):
    h, c = (1, 2, 3)

lstm.LSTMDecoder.initial_state = broken
"""


def test_a_bug_keeps_its_traceback(tmp_path: Path) -> None:
    """A ValueError of a decoder that somebody writes is no setting that could be mended."""
    (tmp_path / "sitecustomize.py").write_text(BROKEN_DECODER)
    words = ["debug=fast", "decoder=lstm", "encoder.pooling=average", "encoder.name=resnet18", "encoder.weights=none"]
    words += ["data.shapes.train_pictures=4", "data.shapes.val_pictures=2", f"data.root={tmp_path}/shapes"]
    command = [sys.executable, str(ROOT / "train.py"), *words, f"hydra.run.dir={tmp_path}/run", f"cache={tmp_path}/c"]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT / 'src'}"}
    answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, env=environment)
    assert answer.returncode == 1
    assert "h, c = (1, 2, 3)" in answer.stderr
    assert answer.stderr.strip().splitlines()[-1] == "ValueError: too many values to unpack (expected 2)"


@pytest.mark.parametrize(
    ("words", "ordered"),
    [
        (["seed=1", "-m", "decoder=lstm"], ["-m", "seed=1", "decoder=lstm"]),
        (["decoder=lstm", "--cfg", "job", "data=shapes"], ["--cfg", "job", "decoder=lstm", "data=shapes"]),
        (["--config-dir=more", "seed=1"], ["--config-dir=more", "seed=1"]),
    ],
)
def test_flags_and_settings_may_be_mixed(words: list[str], ordered: list[str]) -> None:
    assert flags_first(words) == ordered


@pytest.mark.parametrize(
    ("words", "asked"),
    [([], ["experiment=demo"]), (["seed=1"], ["seed=1", "experiment=demo"]), (["data=custom"], ["data=custom"])],
)
def test_the_demo_is_trained_where_no_data_is_named(words: list[str], asked: list[str]) -> None:
    """`make train` is `python train.py` without a word."""
    assert checked_arguments(words, ROOT / "conf") == asked


def test_words_about_a_sweep_need_one(main: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main("sweep=tpe_small")
    assert "sweep=tpe_small has no effect on a single run; add -m" in capsys.readouterr().err
