"""Plugins that are wrong, missing or broken: what is one line, what keeps its traceback, and what is never imported."""

import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tests.plugins.conftest import PARTS, TRAIN, call

import showtell
from showtell.checkpointing.io import load_checkpoint, save_checkpoint
from showtell.checkpointing.resume import find_resume_point
from showtell.config import Config, parse, plugins, registry, settings
from showtell.data.workers import watched
from showtell.errors import UserError, explained
from showtell.run import Run
from showtell.training.train import train
from showtell.training.warm_start import load_start

HEAD = "from dataclasses import dataclass\nimport showtell\nfrom showtell.config import *\n"


@pytest.fixture
def written(registered: None, tmp_path: Path) -> Callable[..., Path]:
    """Writes a plugin."""

    def write(text: str, name: str = "mine.py") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "@showtell.register('decoder', name='lstm')\nclass Mine: ...",
            "mine.py: the decoder 'lstm' is taken by Showtell's own showtell.models.decoders.lstm:LSTMDecoder; give it",
        ),
        (
            "for _ in 'ab':\n    showtell.register('metric', name='mine')(int)",
            "mine.py: the metric 'mine' is taken by {file}; give it another name",
        ),
        (
            "@showtell.register('decodr', name='mine')\nclass Mine: ...",
            "mine.py: 'decodr' is no kind of part; register",
        ),
        (
            "@showtell.register('decoder')\nclass Mine: ...",
            "mine.py: a decoder needs a name; write register('decoder', n",
        ),
        (
            "class Mine(DecoderConfig): ...\nshowtell.register('decoder', Mine, name='mine')",
            "Mine cannot be the settings of a decoder; write @dataclass(kw_only=True) class Settings(DecoderConfig)",
        ),
        (
            "showtell.register('objective', DecoderConfig, name='mine')",
            "DecoderConfig cannot be the settings of a objective; write @dataclass(kw_only=True) class Settings(Object",
        ),
        ("showtell.register('logger', DecoderConfig, name='mine')", "cannot be the settings of a logger; it has none"),
    ],
)
def test_what_cannot_be_registered_is_one_line(written: Callable[..., Path], text: str, message: str) -> None:
    file = written(HEAD + text)
    with pytest.raises(UserError) as refused:
        showtell.use(file)
    assert message.format(file=file) in str(refused.value) and "\n" not in str(refused.value)
    assert not [part for part in registry.parts() if part.origin]  # nothing of half a plugin


def test_settings_of_ones_own_and_of_the_kind(written: Callable[..., Path]) -> None:
    showtell.use(
        written(
            HEAD + "@dataclass(kw_only=True)\nclass Mine(DecoderConfig):\n    rank: int = setting(3, 'r', low=1)\n"
            "showtell.register('decoder', Mine, name='one')(int)\nshowtell.register('decoder', Mine, name='two')(int)\n"
            "showtell.register('decoder', name='bare')(int)\nshowtell.register('format', name='list')(int)\n"
        )
    )
    assert (settings("decoder", "one").rank, settings("decoder", "two", rank=5).rank) == (3, 5)
    for name in ("one", "two", "bare"):
        assert parse({"decoder": {"name": name}}).decoder.name == name
        assert registry.find("decoder", name).settings().name == name
    assert (settings("format", "list").format, settings("format", "list").name) == ("list", "list")
    with pytest.raises(UserError, match=r"decoder\.rank=0 is out of range; it must be at least 1"):
        parse({"decoder": {"name": "one", "rank": 0}})
    with pytest.raises(UserError, match="rank"):
        parse({"decoder": {"name": "bare", "rank": 1}})
    for key, known in (("metrics", "bleu, cider"), ("loggers", "csv, mlflow, tensorboard, trackio, wandb")):
        with pytest.raises(UserError, match=rf"training\.{key}='none_such' is not an option; choose one of {known}"):
            parse({"training": {key: ["none_such"]}})


def test_a_cell_of_a_notebook_may_run_again(registered: None) -> None:
    for built in (int, float):
        showtell.register("metric", name="mine")(built)
    assert registry.find("metric", "mine").load() is float


def test_a_changed_file_is_another_plugin(written: Callable[..., Path]) -> None:
    text = "import showtell\nshowtell.register('metric', name='{}')({})\n"
    file = written(text.format("mine", "int"))
    showtell.use(file)
    first = registry.find("metric", "mine")
    written(text.format("mine", "str"))  # of the same length, perhaps of the same moment
    assert first.sha256 == registry.find("metric", "mine").sha256  # of the code that is here, not of the file
    showtell.use(file)
    second = registry.find("metric", "mine")
    assert (first.load(), second.load()) == (int, str) and first.sha256 != second.sha256
    showtell.use(file)
    assert registry.find("metric", "mine") is second
    written(text.format("other", "int"))
    showtell.use(file)
    assert [part.name for part in registry.parts() if part.origin] == ["other"]


def test_what_cannot_be_imported_concerns_who_wants_it(
    written: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file = written("import showtell\nshowtell.register('decoder', name='half')(int)\nnone_such()\n")
    showtell.use(file)
    assert capsys.readouterr().err == "plugin mine.py cannot be imported (NameError: name 'none_such' is not defined)\n"
    assert parse({}).decoder.name == "lstm" and not capsys.readouterr().err
    with pytest.raises(UserError, match=r"decoder\.name='half' is not an option; .*mine\.py might have it, but cannot"):
        parse({"decoder": {"name": "half"}})
    assert "line 3, in <module>\n    none_such()\n" in capsys.readouterr().err
    file.write_text(file.read_text().replace("none_such()", ""))
    showtell.use(file)
    assert parse({"decoder": {"name": "half"}}).decoder.name == "half"


def test_the_same_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit(0)\n")
    wanted = call(TRAIN, "decoder=half", "--plugins", tmp_path / "mine.py", folder=tmp_path)
    assert wanted.returncode == 2
    assert "line 1, in <module>\n    raise SystemExit(0)\n" in wanted.stderr
    last = wanted.stderr.splitlines()[-1]
    assert last.startswith("error: decoder=half: there is no such option; choose one of ")
    assert last.endswith("mine.py might have it, but cannot be imported")
    unwanted = call(TRAIN, "--cfg", "job", "--plugins", tmp_path / "mine.py", folder=tmp_path)
    assert unwanted.returncode == 0 and "\n  hidden_size: " in unwanted.stdout
    for words, message in ((["--plugins"], "name a folder"), (["--plugins=none_such"], "there is no such folder")):
        done = call(TRAIN, *words, folder=tmp_path)
        assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1


BUGS = {
    "tiny_cnn.py": "        return Network",
    "bigram.py": "        return state[0]",
    "focal.py": "        losses = ",
    "tabbed.py": "        captions = {}",
    "length.py": "        return of_pictures",
    "lines.py": "        with (self.run",
}


@pytest.mark.parametrize("file", BUGS)
def test_a_bug_keeps_its_traceback_with_the_plugins_line(
    plugin_config: Callable[..., Config], tmp_path: Path, file: str
) -> None:
    """Also where it looks like a missing file, which would be one line without the plugin."""
    shutil.copytree(PARTS, tmp_path / "parts")
    part = tmp_path / "parts" / file
    part.write_text(part.read_text().replace(BUGS[file], f"        open('/none/such')\n{BUGS[file]}"))
    with pytest.raises(FileNotFoundError) as caught:
        train(plugin_config(part.parent), tmp_path / "run")
    assert explained(caught.value) is None
    assert f'{file}", line' in "".join(traceback.format_exception(caught.value))


PICTURES = """
class Pictures:
    def __init__(self, error): self.error = error
    def __len__(self): return 1
    def __getitem__(self, i): raise self.error
"""


def test_a_bug_in_a_loaders_worker_too(written: Callable[..., Path]) -> None:
    showtell.use(written(PICTURES))
    broken = sys.modules["showtell_plugins.mine"].Pictures
    for error in (MemoryError("much"), OSError(28, "full"), ValueError("odd")):
        with pytest.raises(type(error)) as caught:
            list(watched(broken(error), num_workers=1))
        assert explained(caught.value) is None and "mine.py" in str(caught.value)
    with pytest.raises(UserError, match=r"^mend it$"):
        list(watched(broken(UserError("mend it")), num_workers=1))


RANKS = ["device=ddp", "device.accelerator=cpu", "device.devices=2"]


@pytest.mark.parametrize("device", [[], pytest.param(RANKS, marks=pytest.mark.slow)], ids=["alone", "two ranks"])
def test_a_bug_in_a_sweeps_job(words: list[str], tmp_path: Path, device: list[str]) -> None:
    """Its log has the traceback, the list at the end the exception."""
    shutil.copytree(PARTS, tmp_path / "parts")
    part = tmp_path / "parts" / "focal.py"
    part.write_text(part.read_text().replace("losses = ", "a, b = 1, 2, 3; losses = "))
    done = call(TRAIN, "--plugins", part.parent, "-m", *words, *device, "name=s", "seed=1", folder=tmp_path)
    assert done.returncode == 1
    summary = done.stdout.partition("1 jobs: 1 failed")[2]
    assert "ValueError: too many values to unpack (expected 2)" in summary, done.stdout
    log = next((tmp_path / "runs" / "s").glob("*/out.log")).read_text()
    assert "a, b = 1, 2, 3; losses = " in log and 'focal.py", line' in log


TRAINING_PARTS = ("focal.py", "length.py", "tabbed.py")


@pytest.fixture(scope="module")
def trained(tiny_overrides: dict[str, Any], tabbed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run whose objective, metric and annotation format are plugins', which are not here any more."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_parts", dict(registry._parts))
        patch.setattr(plugins, "_loaded", {})
        patch.setattr(plugins, "_sources", [])
        for name in TRAINING_PARTS:
            plugins.load(PARTS / name)
        data = {"format": "tabbed", "root": str(tabbed), "num_workers": 0}
        data |= {"train_annotations": "train.tsv", "val_annotations": "val.tsv"}
        training = {**tiny_overrides["training"], "metrics": ["length"]}
        config = parse({**tiny_overrides, "objective": {"name": "focal"}, "data": data, "training": training})
        Run(folder / "run").create(config)
        train(config, folder / "run")
    yield Run(folder / "run")


READERS: dict[str, Callable[[Run], object]] = {
    "resume=": lambda run: run.started_config(),
    "resume=, then": lambda run: find_resume_point(run.directory),
}
MODEL_READERS: dict[str, Callable[[Run], object]] = {
    "showtell.load": lambda run: showtell.load(run.directory),
    "init_from=": lambda run: load_start(str(run.directory)),
}


@pytest.mark.parametrize("reader", MODEL_READERS)
@pytest.mark.usefixtures("registered")
def test_a_model_needs_no_plugin_of_its_training(trained: Run, tmp_path: Path, reader: str) -> None:
    MODEL_READERS[reader](trained)
    checkpoint = load_checkpoint(trained.best)
    checkpoint["showtell"]["plugins"].append({"kind": "decoder", "name": "gone", "file": "gone.py", "sha256": ""})
    checkpoint["showtell"]["config"]["decoder"]["name"] = "gone"
    save_checkpoint(checkpoint, Run(tmp_path).best)
    with pytest.raises(UserError, match=r"wants the decoder 'gone' of the plugin 'gone\.py'; give --plugins with"):
        MODEL_READERS[reader](Run(tmp_path))


@pytest.mark.usefixtures("registered")
def test_of_a_missing_plugin_remains_what_the_model_was_trained_on(trained: Run) -> None:
    config = showtell.load(trained.directory).configs[0]
    assert (config.data.format, config.data.train_annotations) == ("coco", "train.tsv")  # not our demo's captions
    assert (config.objective.name, config.training.metrics) == ("cross_entropy", [])
    plugins.load(PARTS)
    config = showtell.load(trained.directory).configs[0]
    assert (config.data.format, config.objective.name, config.training.metrics) == ("tabbed", "focal", ["length"])


@pytest.mark.parametrize("reader", READERS)
def test_who_lacks_the_plugin_is_told_its_name(registered: None, trained: Run, reader: str) -> None:
    with pytest.raises(UserError) as refused:
        READERS[reader](trained)
    wants = "wants the format 'tabbed' of the plugin 'tabbed.py'; give --plugins with the folder that it lies in"
    assert wants in str(refused.value) and "\n" not in str(refused.value)
    showtell.use(PARTS)
    READERS[reader](trained)


def test_the_leaderboard_needs_no_plugin(trained: Run) -> None:
    values = trained.values()
    assert values is not None and values["objective"]["name"] == "focal" and "plugins" not in values


EVIL = ["{folder}/evil.py", "evil", "evil:Mine", "evil.Mine", "os:system", "showtell.files:content_key"]


@pytest.mark.parametrize("name", EVIL)
@pytest.mark.parametrize("key", ["decoder.name", "objective.name", "data.format", "training.metrics", "plugins"])
def test_no_code_comes_from_where_a_file_says(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, name: str
) -> None:
    """Neither from a configuration nor from a checkpoint, though it lies where Python looks."""
    marker, name = tmp_path / "marker", name.format(folder=tmp_path)
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Mine: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    checkpoint = load_checkpoint(Run(tiny_run).best)
    told = checkpoint["showtell"]
    section, _, last = key.partition(".")
    if last:
        told["config"][section][last] = [name] if last == "metrics" else name
    else:
        told["plugins"] = [{"kind": "decoder", "name": name, "file": str(tmp_path / "evil.py"), "sha256": name}]
    run = Run(tmp_path / "run")
    save_checkpoint(checkpoint, run.best)
    run.config_file.write_text(yaml.safe_dump({**told["config"], "plugins": told["plugins"]}))
    for reader in (*READERS.values(), *MODEL_READERS.values()):
        with pytest.raises(UserError) as refused:
            reader(run)
        assert "\n" not in str(refused.value)
    assert not marker.exists() and "evil" not in sys.modules


@pytest.mark.parametrize("plugins_key", ["x", {"a": 1}, ["x"], [{"kind": "decoder"}], torch.zeros(2)])
def test_a_record_that_is_none(tiny_run: Path, tmp_path: Path, plugins_key: object) -> None:
    checkpoint = load_checkpoint(Run(tiny_run).best)
    checkpoint["showtell"]["plugins"] = plugins_key
    save_checkpoint(checkpoint, Run(tmp_path).best)
    with pytest.raises(UserError, match="its record of plugins is of a wrong kind"):
        showtell.load(tmp_path)
