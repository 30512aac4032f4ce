"""One plugin per kind through the real scripts: a sweep, ranks, torchrun, a resume, captions, a data check."""

import json
import re
import shutil
from pathlib import Path

import pytest
from tests.plugins.conftest import PARTS, PREDICT, REPOSITORY, TRAIN, call

from showtell.checkpointing.io import load_checkpoint
from showtell.config import plugins
from showtell.config.command_line import config_groups
from showtell.config.reference import explained_setting
from showtell.data.__main__ import main
from showtell.run import Run

FILES = sorted(PARTS.glob("*.py"))


def beside(folder: Path) -> Path:
    """A train.py of one's own, with `plugins/` beside it."""
    shutil.copy(TRAIN, folder)
    (folder / "conf").symlink_to(REPOSITORY / "conf")
    shutil.copytree(PARTS, folder / "plugins")
    return folder / "train.py"


def logged(run: Run) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def swept(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs of a sweep with `--plugins`."""
    folder = tmp_path_factory.mktemp("sweep")
    done = call(
        TRAIN, "--plugins", PARTS, "-m", *words, "name=s", "objective.gamma=0.5,1", "sweep.jobs=2", folder=folder
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "plugin focal.py: objective focal" in done.stderr.splitlines()
    return [next((folder / "runs" / "s").glob(f"*gamma-{gamma}_*")) for gamma in ("0.5", "1")]


def test_a_sweep_trains_with_all_of_them(swept: list[Path]) -> None:
    first, second = map(Run, swept)
    for run in (first, second):
        status = run.status()
        assert status is not None and (status.state, status.monitor, status.mode) == (
            "finished",
            "val/length_mean",
            "min",
        )
        lengths = [row["val/length"] for row in logged(run) if "val/length" in row]
        assert len(lengths) == 2 and status.best == pytest.approx(min(lengths))
        assert "val/length" in run.metrics_file.read_text().splitlines()[0]
        assert not list(run.directory.glob("events*"))
        told = load_checkpoint(run.last)["showtell"]["plugins"]
        assert {(one["kind"], one["name"], one["file"]) for one in told} == {
            ("encoder", "tiny_cnn", "tiny_cnn.py"),
            ("decoder", "bigram", "bigram.py"), ("objective", "focal", "focal.py"), ("format", "tabbed", "tabbed.py"),
            ("tokenizer", "blanks", "blanks.py"), ("metric", "length", "length.py"),
        }  # fmt: skip
    assert logged(first)[0]["train/loss"] != logged(second)[0]["train/loss"]  # the plugin's own setting arrived


def test_captions_and_scores(swept: list[Path], tiny_coco: Path, tmp_path: Path) -> None:
    run, annotations = swept[1], tiny_coco / "annotations" / "captions_val.json"
    given = ["--annotations", annotations, "--images", tiny_coco / "val", "--plugins", PARTS]
    said = call(PREDICT, run, *given, folder=tmp_path, PATH=str(tmp_path))  # METEOR finds no Java
    assert said.returncode == 0, said.stderr
    assert re.search(r"^length, people's = 1 +\d\.\d{4} \[\d\.\d{4}, \d\.\d{4}\]$", said.stdout, re.MULTILINE), (
        said.stdout
    )


def test_a_resume_beside_its_plugins_with_two_ranks(swept: list[Path], tmp_path: Path) -> None:
    """Which are not quite the same any more; the launcher hands them on."""
    run = Run(shutil.copytree(swept[1], tmp_path / "run"))
    script = beside(tmp_path)
    with (script.parent / "plugins" / "focal.py").open("a") as file:
        file.write("# changed since\n")
    words = [f"resume={run}", "training.max_epochs=3", "device=ddp", "device.accelerator=cpu", "device.devices=2"]
    done = call(script, *words, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"note: .*plugins/focal.py is not the plugin that .* was written with", done.stdout)
    assert "bigram.py is not" not in done.stdout
    assert done.stderr.count("plugin lines.py: logger lines") == 1
    status = run.status()
    assert status is not None and (status.state, status.epoch) == ("finished", 3)
    assert len([row for row in logged(run) if "val/length" in row]) == 3  # of rank 0 alone


@pytest.mark.slow
def test_under_torchrun(words: list[str], tmp_path: Path) -> None:
    before = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    device = ("device=ddp", "device.accelerator=cpu", f"hydra.run.dir={tmp_path / 'run'}")
    done = call(TRAIN, *words, *device, "--plugins", PARTS, folder=tmp_path, before=before)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len([row for row in logged(Run(tmp_path / "run")) if "val/length" in row]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("backend", [["sweep.backend=slurm", "sweep.cluster=local"], ["sweep.backend=ray"]])
def test_on_a_cluster(words: list[str], tmp_path: Path, backend: list[str]) -> None:
    pytest.importorskip("ray" if "ray" in backend[0] else "submitit")
    words = ["-m", *words, "name=c", "seed=1", *backend, "sweep.jobs=1", "sweep.cpus=1"]
    done = call(TRAIN, *words, f"--plugins={PARTS}", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.usefixtures("registered")
def test_a_command_line_names_plugins_anywhere(tmp_path: Path) -> None:
    for words in (["--plugins", str(PARTS), "--run", "DIR"], ["--run", "DIR", f"--plugins={PARTS / 'focal.py'}"]):
        assert plugins.take_plugins(words, tmp_path / "train.py") == ["--run", "DIR"]
    assert plugins.plugin_arguments() == ["--plugins", str(PARTS), "--plugins", str(PARTS / "focal.py")]


@pytest.mark.usefixtures("registered")
def test_the_tools_for_data_read_its_format(tabbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [f"data.root={tabbed}", "data.train_annotations=train.tsv", "data.val_annotations=val.tsv"]
    assert main(["check", "data=tabbed", *files, "--fast"]) == 2
    assert "data=tabbed: there is no such option" in capsys.readouterr().err
    assert main(["check", "--plugins", str(PARTS), "data=tabbed", *files, "--fast"]) == 0
    assert "train: 24 pictures, 48 captions" in capsys.readouterr().out
    places = ["--output", str(tmp_path / "shards"), "--cache", str(tmp_path / "cache")]
    assert main(["shards", "data=tabbed", *files, *places]) == 0
    assert list((tmp_path / "shards").glob("train-*.tar"))


@pytest.mark.usefixtures("registered")
def test_the_help_knows_them() -> None:
    plugins.load(PARTS)
    assert "objective.gamma  (objective=focal)\n  how much less an easy word" in explained_setting("objective.gamma")
    assert "bigram" in config_groups(REPOSITORY / "conf").partition("decoder: ")[2].splitlines()[0]


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_each_is_under_fifteen_lines_and_what_the_page_shows(file: Path) -> None:
    text = file.read_text()
    assert len([line for line in text.splitlines() if line.strip()]) < 15
    assert f"```python\n{text}```" in (REPOSITORY / "CONTRIBUTING.md").read_text()
