"""Configurations that want more than to be read: through the real train.py, none has an effect, each is one line.

Every attack tries to make a marker file or to carry an environment variable into the run's files.
"""

import pytest
from tests.reliability.conftest import ROOT, mostly_slow
from tests.reliability.test_resume import one_line

SECRET = "a-secret-of-the-environment"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
TARGETS = {
    "os.system": "_target_: os.system\n  command: touch {marker}",
    "posix.system": "_target_: posix.system\n  command: touch {marker}",
    "logging.os.system": "_target_: logging.os.system\n  command: touch {marker}",
    "subprocess.run": "_target_: subprocess.run\n  args: [touch, '{marker}']",
    "pathlib.Path.touch": "_target_: pathlib.Path.touch\n  _args_: ['{marker}']",
    "pathlib.Path.write_text": "_target_: pathlib.Path.write_text\n  self: '{marker}'\n  data: x",
    "builtins.open": "_target_: builtins.open\n  file: '{marker}'\n  mode: w",
    "builtins.exec": "_target_: builtins.exec\n  _args_: [\"open('{marker}','w')\"]",
    "torch.load": "_target_: torch.load\n  f: evil.pt\n  weights_only: false",
    "torch.save": "_target_: torch.save\n  obj: 1\n  f: '{marker}'",
    "numpy.load": "_target_: numpy.load\n  file: evil.npy\n  allow_pickle: true",
    "torch.hub.load": "_target_: torch.hub.load\n  repo_or_dir: '{marker}'\n  model: x\n  source: local",
    "partial": "_target_: os.system\n  _partial_: true\n  command: touch {marker}",
}
TAGS = [
    "!!python/object/apply:os.system ['touch {marker}']",
    "!!python/object/new:os.system ['touch {marker}']",
    "!!python/name:os.system",
    "!!python/module:os",
    "!!python/object/apply:subprocess.check_output [[touch, '{marker}']]",
    "!<tag:yaml.org,2002:python/object/apply:os.system> ['touch {marker}']",
    "!custom touch",
]
LEAKS = ["${oc.env:SECRET}", "${oc.decode:${oc.env:SECRET}}", "x${oc.env:SECRET}y", "${hydra:runtime.cwd}"]
STRING_KEYS = [
    "name", "cache", "data.name", "data.format", "data.root", "data.train_annotations", "data.val_annotations",
    "data.train_images", "data.val_images", "data.bad_pictures", "encoder.name", "encoder.weights", "encoder.pooling",
    "decoder.name", "device.accelerator", "device.precision", "features.mode", "features.dtype", "features.place",
    "features.precision", "decoding.method", "training.schedule", "training.monitor",
]  # fmt: skip
GROUPS = sorted(path.name for path in (ROOT / "conf").iterdir() if path.is_dir())
CALL = "{disable_existing_loggers: false, formatters: {x: {(): shutil.copyfile, src: /etc/hostname, dst: '{marker}'}}}"
MAKES_A_FILE = "{version: 1, handlers: {x: {class: logging.FileHandler, filename: '{marker}'}}}"
HYDRA = {
    "logging that calls": f"# @package _global_\nhydra:\n  job_logging: {CALL}\n",
    "logging to a file": f"# @package _global_\nhydra:\n  hydra_logging: {MAKES_A_FILE}\n",
    "package": "# @package hydra.job_logging\nhandlers: {}\n",
    "plain logging": "# @package _global_\nhydra:\n  job_logging: {version: 1}\n  sweeper:\n    params: {seed: 1}\n",
    "defaults into hydra": "defaults:\n  - /data@hydra.job_logging: custom\n",
    "defaults override": "# @package _global_\ndefaults:\n  - override /hydra/job_logging: default\n",
    "defaults elsewhere": "# @package _global_\ndefaults:\n  - /experiment: ../../../../../../tmp/evil\n",
    "two documents": "a: 1\n---\nhydra: {}\n",
}
FILES = (
    {f"target {name}": f"# @package _global_\nx:\n  {text}\n" for name, text in TARGETS.items()}
    | {f"tag {text[:40]}": f"value: {text}\n" for text in TAGS}
    | HYDRA
    | {
        "alias bomb": BOMB,
        "alias of itself": "a: &a [*a]\n",
        "nested deeply": "a: " + "[" * 20_000 + "]" * 20_000 + "\n",
        "too big": "a: b\n" + "#" * (2 << 20),
        "callback": "# @package _global_\nhydra:\n  callbacks:\n    x:\n      _target_: os.system\n      command: ls\n",
        "launcher": "# @package _global_\nhydra:\n  launcher:\n    _target_: os.system\n",
        "leak": "# @package _global_\ntraining:\n  monitor: ${oc.env:SECRET}\n",
        "leak in a name": "# @package _global_\nname: ${oc.env:SECRET}\n",
        "no YAML": "a: [\n",
        "not text": "\x00\x01",
    }
)


@pytest.fixture
def refused(forge, tmp_path):
    """Runs train.py with words; it must end with 2 and one line, without a marker and without the secret anywhere."""
    work = tmp_path / "work"
    work.mkdir()

    def run(*words: str) -> str:
        job = {"argv": [*words], "directory": str(work), "environment": {"SECRET": SECRET}}
        assert forge.job(**job) == 2, forge.said
        said = one_line(forge)
        assert not (tmp_path / "marker").exists()
        assert SECRET not in forge.said
        assert not [path for path in work.rglob("*") if SECRET in path.name]
        assert not [path for path in work.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
        return said

    return run


def test_there_are_enough_of_them():
    assert len(FILES) + len(STRING_KEYS) + len(GROUPS) + len(LEAKS) >= 40


@pytest.mark.parametrize("name", mostly_slow(FILES, 5))
def test_hostile_group_file(refused, tmp_path, name):
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "evil.yaml").write_text(FILES[name].replace("{marker}", str(tmp_path / "marker")))
    refused("--config-dir", str(folder.parent), "experiment=evil")


@pytest.mark.parametrize("group", mostly_slow(GROUPS, 5))
def test_every_group(refused, tmp_path, group):
    folder = tmp_path / "conf" / group
    folder.mkdir(parents=True)
    (folder / "evil.yaml").write_text(f"_target_: os.system\ncommand: touch {tmp_path}/marker\n")
    assert "evil.yaml" in refused(f"--config-dir={folder.parent}", f"{group}=evil")


@pytest.mark.parametrize("key", mostly_slow(STRING_KEYS, 8))
def test_every_string_value(refused, key):
    assert key in refused(f"{key}=${{oc.env:SECRET}}")


@pytest.mark.parametrize("value", mostly_slow(LEAKS, 4))
def test_interpolations(refused, value):
    refused(f"training.monitor='{value}'")


@pytest.mark.parametrize(
    "word",
    mostly_slow(
        [
            "+x._target_=os.system",
            "+hydra.callbacks.x={_target_:os.system,command:'touch marker'}",
            "hydra.run.dir=${oc.env:SECRET}",
            "hydra.searchpath=[file:///tmp]",
            "++hydra.launcher._target_=os.system",
            "data={_target_:os.system}",
            "hydra.job_logging.formatters.simple={(): os.system}",
            "hydra/job_logging=evil",
            "+hydra={job_logging: {version: 1}}",
            "+experiment@hydra.job_logging=demo",
            "experiment=../../../../tmp/x/evil",
            "experiment=demo,/tmp/x/evil",
            "--config-name=../../tmp/evil",
            "--experimental-rerun=evil.pickle",
        ],
        3,
    ),
)
def test_hostile_words(refused, word):
    refused(word)


@pytest.mark.parametrize(
    "text",
    mostly_slow([
        BOMB, "a: &a [*a]\n", "name: ${oc.env:SECRET}\n", "training:\n  monitor: ${oc.env:SECRET}\n", "- a\n- b\n",
        "", "\x00", "training: !!python/object/apply:os.system ['touch {marker}']\n", "seed: [\n",
        "training:\n  _target_: os.system\n",
        "cache: ${oc.decode:'[1'}\n", "a: " + "[" * 20_000, "nonsense: 1\n", "training: 3\n", "seed: x\n",
    ], 5),
)  # fmt: skip
def test_hostile_configuration_of_a_run(refused, tmp_path, text):
    folder = tmp_path / "foreign" / ".hydra"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(text.replace("{marker}", str(tmp_path / "marker")))
    refused(f"resume={folder.parent}")


def test_the_marker_method_can_fail(tmp_path):
    """Hydra itself, without Showtell's check, does call what a group file names."""
    from hydra.utils import instantiate

    path = {"_target_": "pathlib.Path", "_args_": [str(tmp_path / "marker")]}
    instantiate({"_target_": "pathlib.Path.write_text", "_args_": [path, "x"]})
    assert (tmp_path / "marker").exists()
