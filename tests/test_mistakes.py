"""Mistakes that a person would make: what is typed, the one line that answers, and that following the line works.

Each row of a table is a command as it is typed into a shell, the line (behind `error: `) and what its remedy makes of
the command. All of it goes through the real scripts, in this process; what would then train or caption stops at the
gate instead, where every setting has been checked.
"""
# ruff: noqa: E501 (a row is a line)

import os
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from showtell.config import Config
from showtell.config.command_line import options_of_groups
from showtell.data.__main__ import main as data_main
from showtell.data.fetch.sets import PUBLIC_SETS
from showtell.leaderboard.__main__ import main as leaderboard_main
from showtell.run import Run, asked_config

ROOT = Path(__file__).resolve().parents[1]
UNCHANGED = " "
FOLLOWED: set[str] = set()
"""Remedies that worked: several mistakes have the same."""

# fmt: off
# what is typed behind train.py | the line | what is typed then
TRAINING = [
    # values that Hydra would not read
    ("training.learning_rate=0,001", "training.learning_rate=0,001 is a list of values; write training.learning_rate=0.001 for one number, or add -m to train with each of them", "training.learning_rate=0.001"),
    ("decoder.hidden_size=100,200", "decoder.hidden_size=100,200 is a list of values; add -m to train with each of them", "-m decoder.hidden_size=100,200"),
    ("decoder=lstm,attention", "decoder=lstm,attention names several options; add -m to train with each of them", "-m decoder=lstm,attention"),
    ("-m decoder.hidden_size=100 200", "200: values of a sweep are joined by commas; write decoder.hidden_size=100,200", "-m decoder.hidden_size=100,200"),
    ("-m decoder.hidden_size=[100,200]", "decoder.hidden_size=[100,200]: values of a sweep have no brackets; write decoder.hidden_size=100,200", "-m decoder.hidden_size=100,200"),
    ("data.train_annotations=a,b", "data.train_annotations=a,b is a list of values; add -m to train with each, or quote what is one: \"data.train_annotations='a,b'\"", "\"data.train_annotations='a,b'\""),
    ("training.metrics=cider", "training.metrics=cider: a list is written in brackets; give \"training.metrics=[cider]\"", "\"training.metrics=[cider]\""),
    ("training.metrics=[blue]", "training.metrics='blue' is not an option; choose one of bleu, cider, clipscore, meteor, rouge_l, spice, or give --plugins with the folder of the plugin that has it", "training.metrics=[bleu]"),
    ("decoder.hidden_size=abc", "decoder.hidden_size=abc: must be a whole number", ""),
    ("decoder.hidden_size=1e3", "decoder.hidden_size=1e3: must be a whole number; write decoder.hidden_size=1000", "decoder.hidden_size=1000"),
    ("decoder.hidden_size=0", "decoder.hidden_size=0 is out of range; it must be at least 1 and at most 65536", "decoder.hidden_size=1"),
    ("decoder.hidden_size=-1", "decoder.hidden_size=-1 is out of range; it must be at least 1 and at most 65536", ""),
    ("decoder.dropout=50%", "decoder.dropout=50%: must be a number", ""),
    ("decoder.dropout=50", "decoder.dropout=50.0 is out of range; it must be at least 0 and at most 0.99", "decoder.dropout=0.5"),
    ("device.compile=maybe", "device.compile='maybe': must be true or false", "device.compile=true"),
    ("training.max_epochs=null", "training.max_epochs=null: must be a whole number", ""),
    ("training.max_epochs=", "training.max_epochs=: its value is missing; write it after the =, or leave training.max_epochs= out", UNCHANGED),
    ("cache=", "cache=: its value is missing; write it after the =, or leave cache= out", UNCHANGED),
    ("cache=''", "cache=: its value is missing; write it after the =, or leave cache= out", UNCHANGED),
    ("\"cache=''\"", "cache='' is empty; give it a value, or leave cache= out", UNCHANGED),
    ("'cache= '", "cache=' ' is empty; give it a value, or leave cache= out", UNCHANGED),
    ("hydra.job.chdir=true", "hydra.job.chdir=true: paths are those of the folder that train.py is started in; leave it out", UNCHANGED),
    ("+hydra.job.chdir=yes", "+hydra.job.chdir=yes: paths are those of the folder that train.py is started in; leave it out", UNCHANGED),
    ("hydra.job={chdir:true}", "hydra.job={chdir:true}: paths are those of the folder that train.py is started in; leave it out", UNCHANGED),
    ("training.schedule=fast", "training.schedule='fast' is not an option; choose one of constant, cosine, plateau", "training.schedule=cosine"),
    ("training.schedule=plateau training.warmup_steps=5", "training.warmup_steps: plateau has no warm-up; set it to 0, or training.schedule=cosine", "training.schedule=cosine training.warmup_steps=5"),
    ("features.views=8", "features.views=8: nothing changes the pictures; set data.augment.crop_area, jitter or flip", "features.views=8 data.augment.flip=true"),
    ("data.augment.flip=true", "data.augment.flip=true: stored features are those of unchanged pictures; use features.views=8 to store changed ones too, or features=off (features.mode=off)", "data.augment.flip=true features=off"),
    ("encoder.finetune_blocks=1", "encoder.finetune_blocks=1: stored features are a frozen encoder's; use features=off (features.mode=off)", "encoder.finetune_blocks=1 features=off"),
    ("decoder=lstm encoder.pooling=grid", "encoder.pooling=grid: decoder=lstm reads one vector; use encoder.pooling=average or decoder=attention", "encoder.pooling=grid decoder=attention"),
    ("decoding.beam_size=5", "decoding.beam_size=5 has no effect with decoding.method=greedy; choose decoding.method=beam, or set it to 1", "decoding.beam_size=5 decoding.method=beam"),
    ("name=../x", "name='../x' cannot name a folder; use letters, digits, - and _", "name=x"),
    # how a setting is written
    ("experiment = article", "experiment = article: write it without blanks around the =: experiment=article", "experiment=article"),
    ("experiment= article", "experiment= article: write it without blanks around the =: experiment=article", "experiment=article"),
    ("training.max_epochs: 3", "training.max_epochs:: a setting is written with =, as training.max_epochs=3", "training.max_epochs=3"),
    ("training.lr:3e-4", "training.lr:3e-4: a setting is written with =, as training.learning_rate=3e-4", "training.learning_rate=3e-4"),
    ("--experiment article", "--experiment: there is no such option; settings have no dashes; write experiment=article", "experiment=article"),
    ("--data.root x", "--data.root: there is no such option; settings have no dashes; write data.root=x", "data.root=x"),
    ("--lr 1e-3", "--lr: there is no such option; settings have no dashes; write training.learning_rate=1e-3", "training.learning_rate=1e-3"),
    ("--batch-size=32", "--batch-size: there is no such option; settings have no dashes; write training.batch_size=32", "training.batch_size=32"),
    ("--debug", "--debug: there is no such option; settings have no dashes; write debug= and one of fast, overfit", "debug=fast"),
    ("debug", "debug: its option is missing; write debug= and one of fast, overfit", "debug=fast"),
    ("debug=true", "debug=true: there is no such option; did you mean debug=fast? The options are fast, overfit", "debug=fast"),
    ("demo", "demo: which group is it of? Write experiment=demo", "experiment=demo"),
    ("conf/experiment/article.yaml", "conf/experiment/article.yaml: configuration files are chosen by name; write experiment=article", "experiment=article"),
    ("{photos}", "{photos}: say what it is for; a folder of data is given as data=custom data.root={photos}", "data=custom data.root={photos}"),
    ("data={photos}", "data={photos}: an option is a name; a folder of data is given as data=custom data.root={photos}", "data=custom data.root={photos}"),
    ("{photos}/1.jpg", "{photos}/1.jpg: pictures are captioned by predict.py; write python predict.py RUN {photos}/1.jpg", None),
    ("photo.heic", "photo.heic: pictures are captioned by predict.py; write python predict.py RUN photo.heic", None),
    ("help", "help: did you mean --help?", "--help"),
    ("--hepl", "--hepl: there is no such option; did you mean --help?", "--help"),
    ("--help trainnig.max_epochs", "trainnig.max_epochs: there is no such setting; did you mean training.max_epochs?", "--help training.max_epochs"),
    ("--multirun=seed", "--multirun=seed: --multirun takes no value; write --multirun alone", "--multirun"),
    ("-m --cfg job", "-m and --cfg do not go together; leave one of them out", "--cfg job"),
    ("--config-name mine", "--config-name mine: there is no such file; leave it out, or give its folder as --config-dir", "--config-dir {mine} --config-name mine"),
    ("~decoder", "~decoder: settings cannot be removed; leave this word out", UNCHANGED),
    # names from elsewhere, and misspelt ones
    ("decodr=lstm", "decodr: there is no such setting; did you mean decoder=lstm?", "decoder=lstm"),
    ("decoder.hiden_size=3", "decoder.hiden_size: there is no such setting; did you mean decoder.hidden_size=3?", "decoder.hidden_size=3"),
    ("training.lr=1e-3", "training.lr: there is no such setting; did you mean training.learning_rate=1e-3?", "training.learning_rate=1e-3"),
    ("lr=1e-3", "lr: there is no such setting; did you mean training.learning_rate=1e-3?", "training.learning_rate=1e-3"),
    ("batch_size=32", "batch_size: there is no such setting; did you mean training.batch_size=32?", "training.batch_size=32"),
    ("epochs=3", "epochs: there is no such setting; did you mean training.max_epochs=3?", "training.max_epochs=3"),
    ("max_epochs=3", "max_epochs: there is no such setting; did you mean training.max_epochs=3?", "training.max_epochs=3"),
    ("trainer.max_epochs=3", "trainer.max_epochs: there is no such setting; did you mean training.max_epochs=3?", "training.max_epochs=3"),
    ("gpus=1", "gpus: there is no such setting; did you mean device.devices=1?", "device.devices=1"),
    ("seed_everything=7", "seed_everything: there is no such setting; did you mean seed=7?", "seed=7"),
    ("model=transformer", "model: there is no such setting; did you mean decoder=transformer?", "decoder=transformer"),
    ("training=3", "training is a section of settings; set one of them, such as training.max_epochs", "training.max_epochs=3"),
    ("training.objective=self_critical", "training.objective is called objective.name now (or objective=NAME); docs/settings.md lists all settings", "objective.name=cross_entropy"),
    ("++training.max_epoch=3", "training.max_epoch: there is no such setting; did you mean training.max_epochs=3?", "training.max_epochs=3"),
    ("+training.max_epoch=3", "training.max_epoch: there is no such setting; did you mean training.max_epochs=3?", "+training.max_epochs=3"),
    ("decoder=tranformer", "decoder=tranformer: there is no such option; did you mean decoder=transformer? The options are {decoder options}", "decoder=transformer"),
    ("encoder=resnet", "encoder=resnet: there is no such option; did you mean encoder=resnet50? The options are {encoder options}", "encoder=resnet50"),
    ("device=cuda", "device=cuda: there is no such option; did you mean device=gpu? The options are {device options}", "device=gpu"),
    ("vocab=4", "vocab=4: there is no such option; give vocab.threshold=4", "vocab.threshold=4"),
    ("vocab=min3", "vocab=min3: there is no such option; give vocab.threshold=3", "vocab.threshold=3"),
    ("decoder=lstm decoder.attention_size=7", "decoder.attention_size is a setting of decoder=attention, hard_attention, topdown alone; choose one of them, or leave it out", "decoder=attention decoder.attention_size=7"),
    ("experiment=small_photos decoder=transformer data.root=photos", "decoder.image_every_step, which experiment=small_photos sets, is a setting of decoder=lstm alone; choose one of them, or another recipe", "experiment=demo decoder=transformer"),
    # runs
    ("resume=runs/none", "resume=runs/none: there is no such run directory; `ls -d runs/*/*` shows those that are", None),
    ("resume={run}/config.yaml", "resume={run}/config.yaml: is a file, not a run directory; `ls -d runs/*/*` shows those that are", "resume={run}"),
    ("resume={runs}", "{runs}: no run was started there; it holds 2 runs; name one, such as {run} (val/cider 0.500), {worse} (val/cider 0.250)", "resume={run}"),
    ("resume=", "resume=: its value is missing; write it after the =, or leave resume= out", UNCHANGED),
    ("resume={run} experiment=demo", "experiment=demo: a resumed run keeps its recipe; leave it out, or change single values", "resume={run}"),
    ("{run}", "{run}: say what it is for; resume={run} goes on with it, init_from={run} starts a new run from it", "resume={run}"),
    ("--resume {run}", "--resume: there is no such option; settings have no dashes; write resume={run}", "resume={run}"),
    ("objective=self_critical", "objective=self_critical: an untrained decoder draws nothing worth a reward; give a trained run's directory, init_from=runs/NAME/STAMP", "objective=self_critical init_from={run}"),
]
# fmt: on

# fmt: off
RUN = "name a run or a checkpoint, then pictures: python predict.py runs/NAME/STAMP photo.jpg"
# what is typed behind predict.py | the line | what is typed then
PREDICTION = [
    ("", RUN, "{run} {photos}/1.jpg"),
    ("{run}", "no picture is named; name pictures or folders after the checkpoint", "{run} {photos}"),
    ("{runs} {photos}", "{runs}: is not a run but a folder that holds 2 runs; name one, such as {run} (val/cider 0.500), {worse} (val/cider 0.250)", "{run} {photos}"),
    ("{photos}/1.jpg", "{photos}/1.jpg: is a picture, and no run is named; name one: predict.py runs/NAME/STAMP {photos}/1.jpg", "{run} {photos}/1.jpg"),
    ("{photos}", "{photos}: no run is there; name a run, or a checkpoint", "{run} {photos}"),
    ("runs/none {photos}", "runs/none: there is no such run or checkpoint; `ls -d runs/*/*` shows the runs", None),
    ("{run} {photos} --device gpu", "--device gpu: there is no such choice; did you mean cuda? The choices are auto, cpu, cuda", "{run} {photos} --device cuda"),
    ("{run} {photos} --beam five", "--beam five: must be a whole number", "{run} {photos} --beam 5"),
    ("{run} {photos} --beam", "--beam: its value is missing; write it after --beam", "{run} {photos} --beam 5"),
    ("{run} {photos} --beam-size 5", "--beam-size: there is no such option; did you mean --beam?", "{run} {photos} --beam 5"),
    ("{run} {photos} --batch_size 5", "--batch_size: there is no such option; did you mean --batch-size?", "{run} {photos} --batch-size 5"),
    ("{run} {photos} --num 5", "--num: there is no such option; --help lists them", "--help"),
    ("{run} {photos} --ensemble=yes", "--ensemble=yes: --ensemble takes no value; write --ensemble alone", "{run} {worse} {photos} --ensemble"),
    ("{run} {photos} --ensemble", "--ensemble needs several checkpoints, and only one is named", "{run} {worse} {photos} --ensemble"),
    ("{run} {photos} decoding.beam_size=5", "decoding.beam_size=5: train.py has settings, predict.py options such as --beam 5; see --help", "{run} {photos} --beam 5"),
    ("--checkpoint {run} {photos}", "--checkpoint: there is no such option; name the run first, without an option", "{run} {photos}"),
    ("{run} --image {photos}/1.jpg", "--image: there is no such option; name pictures after the run, without an option", "{run} {photos}/1.jpg"),
    ("{run} --annotations c.json", "--annotations: say with --images DIR where its pictures lie", "{run} --annotations c.json --images {photos}"),
    ("{run} --images {photos}", "--images belongs to --annotations FILE; name folders directly", "{run} {photos}"),
    ("{run} {photos} --scores s.json", "--scores: nothing to score against; give --annotations FILE or --split test", "{run} --annotations c.json --images {photos} --scores s.json"),
    ("{run} {photos} --output {photos}", "{photos}: is a folder; name a file to write", "{run} {photos} --output {photos}/res.json"),
    ("{run} {photos} --batch-size 0", "--batch-size 0 is out of range; it must be at least 1", "{run} {photos} --batch-size 1"),
]
# fmt: on

# fmt: off
# what is typed behind python -m showtell. | the line
TOOLS = [
    ("data chekc", "chekc: there is no such command; did you mean check?"),
    ("data check {photos}", "{photos} holds 1 pictures but no captions; write a captions.csv (image,caption), or dog.txt beside dog.jpg"),
    ("data check data=custom {photos}", "{photos}: is no setting of a data set; write data=custom data.root={photos}"),
    ("data check data=cocoo2017", "data=cocoo2017: there is no such option; did you mean data=coco2017? The options are {data options}"),
    ("data check data=custom data.rot=x", "data.rot: there is no such setting; did you mean data.root?"),
    ("data check --fats", "--fats: there is no such option; did you mean --fast?"),
    ("data fetch", "name a data set: python -m showtell.data fetch NAME, one of " + ", ".join(PUBLIC_SETS)),
    ("data stores --all --delete x", "--delete and --all do not go together; leave one of them out"),
    ("data shards data=shapes", "--output DIR is missing: python -m showtell.data shards data=shapes --output data/shards"),
    ("leaderboard", "name runs, or a folder of them: python -m showtell.leaderboard runs/NAME"),
    ("leaderboard runs/none", "runs/none: there is no such folder; name runs, or a folder of them such as runs/demo"),
    ("leaderboard {photos}", "{photos}: no run in it or below; name runs that have begun, or a folder of them"),
    ("leaderboard {runs} --metirc val/cider", "--metirc: there is no such option; did you mean --metric?"),
]
# fmt: on

# fmt: off
# what is typed behind train.py | the setting that it makes, as no quotes beyond the shell's are needed
STRINGS = [
    ("data.root=~/photos", "data.root", "{home}/photos"),
    ("'data.root=/x/a (1)'", "data.root", "/x/a (1)"),
    ("data.root=/x/写真", "data.root", "/x/写真"),
    ("name=a=b", "name", "a=b"),
    ("name=007", "name", "007"),
    ("name=1e3", "name", "1e3"),
    ("name=2026", "name", "2026"),
    ("name=2026-07.b", "name", "2026-07.b"),
    ("name=true", "name", "true"),
    ('"name=it\'s"', "name", "it's"),
    ("'data.root={commas}'", "data.root", "{commas}"),  # commas: one value where such a path is there
    ("'data.train_annotations=train-{000000..000331}.tar'", "data.train_annotations", "train-{000000..000331}.tar"),
    ("'data.root=C:\\a b\\'", "data.root", "C:\\a b\\"),
    ("\"data.root='/x/a,b'\"", "data.root", "/x/a,b"),
]
# fmt: on


@dataclass
class Answer:
    code: int
    lines: list[str]
    configs: list[Config]


Typed = Callable[[str], Answer]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A folder with pictures, and two runs as they lie there when they have ended."""
    root = tmp_path_factory.mktemp("mistakes")
    for name, best in (("good", 0.5), ("bad", 0.25)):
        run = Run(root / "runs" / name)
        run.create(asked_config(Config().as_dict(), []))
        run.record(state="finished", monitor="val/cider", mode="max", best=best)
        run.checkpoints.mkdir()
        run.best.touch()
    for folder in ("photos", "a, b & c"):
        (root / folder).mkdir()
    (root / "photos" / "1.jpg").touch()
    (root / "mine").mkdir()
    (root / "mine" / "mine.yaml").write_text("defaults: [config, _self_]\nseed: 3\n")
    names = {
        "runs": "runs",
        "run": "runs/good",
        "worse": "runs/bad",
        "photos": "photos",
        "mine": "mine",
        "commas": "a, b & c",
    }
    options = {f"{group} options": ", ".join(found) for group, found in options_of_groups(ROOT / "conf").items()}
    return {name: str(root / path) for name, path in names.items()} | {"home": str(Path.home())} | options


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Types a command; what it would train goes through the gate, and no further."""
    from hydra.core.global_hydra import GlobalHydra

    import showtell.launching.start
    import showtell.prediction.command
    import showtell.sweeps.run_sweep

    configs: list[Config] = []

    def gate(run: Run, composed: Any = None, overrides: Any = ()) -> None:
        configs.append(asked_config(composed, overrides))

    def gates(jobs: Any, *others: Any) -> int:
        configs.extend(job.config for job in jobs)
        return 0

    def inputs(options: Any) -> int:
        files, words = showtell.prediction.command.split_arguments(options.words)
        showtell.prediction.command.check(options, len(files), words)
        return 0

    monkeypatch.setattr(showtell.launching.start, "start", gate)
    monkeypatch.setattr(showtell.sweeps.run_sweep, "run_sweep", gates)
    monkeypatch.setattr(showtell.prediction.command, "predict", inputs)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.chdir(tmp_path)

    def typed(command: str) -> Answer:
        configs.clear()
        script, *words = shlex.split(command)
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", [script, *words])
        code: Any = 0
        try:
            if script.endswith(".py"):
                runpy.run_path(str(ROOT / script), run_name="__main__")
            else:
                code = {"data": data_main, "leaderboard": leaderboard_main}[script](words)
        except SystemExit as stop:
            code = stop.code
        GlobalHydra.instance().clear()
        return Answer(code or 0, capsys.readouterr().err.splitlines(), list(configs))

    return typed


def filled(text: str, places: Mapping[str, str]) -> str:
    for name, path in places.items():
        text = text.replace(f"{{{name}}}", path)
    return text


def answers(typed: Typed, command: str, line: str, remedy: str | None) -> None:
    """One line and code 2; then the remedy, which works."""
    answer = typed(command)
    assert (answer.code, answer.lines) == (2, [f"error: {line}"])
    if remedy and remedy not in FOLLOWED:
        followed = typed(remedy)
        assert (followed.code, followed.lines) == (0, []), remedy
        FOLLOWED.add(remedy)


def test_the_table_is_long_enough() -> None:
    assert len(TRAINING) + len(PREDICTION) + len(TOOLS) >= 50


@pytest.mark.parametrize(("command", "line", "remedy"), TRAINING, ids=[row[0] for row in TRAINING])
def test_training(typed: Typed, places: Mapping[str, str], command: str, line: str, remedy: str | None) -> None:
    then = f"train.py {filled(remedy, places)}" if remedy else None
    answers(typed, f"train.py {filled(command, places)}", filled(line, places), then)


@pytest.mark.parametrize(("command", "line", "remedy"), PREDICTION, ids=[row[0] for row in PREDICTION])
def test_prediction(typed: Typed, places: Mapping[str, str], command: str, line: str, remedy: str | None) -> None:
    then = f"predict.py {filled(remedy, places)}" if remedy else None
    answers(typed, f"predict.py {filled(command, places)}", filled(line, places), then)


@pytest.mark.parametrize(("command", "line"), TOOLS, ids=[row[0] for row in TOOLS])
def test_tools(typed: Typed, places: Mapping[str, str], command: str, line: str) -> None:
    answers(typed, filled(command, places), filled(line, places), None)


@pytest.mark.parametrize(("command", "key", "value"), STRINGS)
def test_strings_need_no_quotes_but_the_shells(
    typed: Typed, places: Mapping[str, str], command: str, key: str, value: str
) -> None:
    (config,) = typed(f"train.py data=custom {filled(command, places)}").configs
    section, _, name = key.rpartition(".")
    assert getattr(getattr(config, section) if section else config, name) == filled(value, places)


def test_a_sweep_over_paths_quotes_each(typed: Typed) -> None:
    configs = typed("train.py data=custom -m 'data.root=/x/a (1),~/写真' decoder.hidden_size=8").configs
    assert [config.data.root for config in configs] == ["/x/a (1)", str(Path.home() / "写真")]
    assert {config.decoder.hidden_size for config in configs} == {8}  # -m stood in the middle


@pytest.mark.parametrize("command", ["predict.py", "train.py ~decoder"])
def test_the_whole_of_it_in_a_shell(command: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    words = [sys.executable, "-W", "always", *command.split()]
    answer = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1 and answer.stderr.startswith("error: ")
