"""A run is a directory: which files lie in it, how it was configured, where it stands.

`config.yaml` is the one identity of a run: whoever trains it (this process, a rank, a job of a sweep, a task of a
cluster) is started with the directory alone. A resume with other settings writes its candidate beside it,
`config.next.yaml`, and rank 0 renames that once the resume is accepted; so a resume that is refused or killed leaves
the run as it was. `status.json` has one writer, `Run.record`.

Sweeps and leaderboards meet directories that were killed, copied or written by an older version, so a status that
cannot be read counts as missing. Nothing here imports torch.
"""

import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from showtell.config import Config, parse, restore
from showtell.config.command_line import overridden, resumed_from
from showtell.config.gate import plain
from showtell.config.migration import migrated
from showtell.config.plugins import check_origins, origins
from showtell.config.registry import SECTIONS, names
from showtell.config.stages import settled
from showtell.config.untrusted_yaml import load_yaml
from showtell.config.words import key_of
from showtell.errors import ConfigError, UserError
from showtell.files import is_stream, write_text_atomically
from showtell.processes import program, shortest
from showtell.run.status import RunStatus, read_rows, read_scores, read_status

STATUS = "status.json"
CONFIG = "config.yaml"
SECOND = "second"  # in a run's directory: that of its second stage
PLUGINS = "plugins"  # in a run's configuration: whose parts it names, for messages
# what runs had before they had a config.yaml of their own
OLD_CONFIG = Path(".hydra") / "config.yaml"
# done is what no sweep starts again
DONE = ("finished", "pruned")


class Run:
    """The directory of a run, by the names of what lies in it."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self._begun_here: bool | None = None  # None where this process has asked for nothing
        self.config_file = self.directory / CONFIG
        self.candidate_file = self.directory / "config.next.yaml"
        self.status_file = self.directory / STATUS
        self.metrics_file = self.directory / "metrics.csv"
        self.vocabulary_file = self.directory / "vocabulary.txt"
        self.dropped_words_file = self.directory / "vocabulary_dropped.txt"
        self.log_file = self.directory / "out.log"
        self.lock_file = (self.directory.parent if self.is_second else self.directory) / ".job.lock"  # its trainer's
        self.test_scores = self.directory / "test.scores.json"
        self.predictions = self.directory / "predictions"
        self.trackers = self.directory / "trackers"  # NAME.json: what a tracker calls the run, and what it has of it
        self.checkpoints = self.directory / "checkpoints"
        self.best = self.checkpoints / "best.ckpt"
        self.last = self.checkpoints / "last.ckpt"

    def statistics(self, split: str) -> Path:
        """What each picture of a split adds to the scores: of `val` after the best epoch, of `test` at the end."""
        return self.predictions / f"statistics_{split}.npz"

    @classmethod
    def of(cls, path: str | Path) -> "Run":
        """The run that a path names: a run directory, or a checkpoint in one."""
        path = Path(path)
        return cls(path.parent.parent if path.suffix == ".ckpt" else path)

    def __str__(self) -> str:
        return str(self.directory)

    @property
    def second(self) -> "Run":
        """The second stage, a run in this one; whether it has begun is another question."""
        return Run(self.directory / SECOND)

    @property
    def is_second(self) -> bool:
        """Whether it is the second stage of another."""
        return self.directory.name == SECOND and Run(self.directory.parent).config_file.is_file()

    @property
    def current(self) -> "Run":
        """The stage that is gone on with: the second one, once there is something of it to go on from."""
        return self.second if self.second.has_checkpoint else self

    @property
    def has_checkpoint(self) -> bool:
        """Whether something to go on from lies here."""
        return any(self.checkpoints.glob("*.ckpt"))

    @property
    def command(self) -> str:
        """What one types to go on with it."""
        folder = shlex.quote(str(shortest(self.directory)))
        return f"{program('python')} train.py {f'resume={folder}' if self.has_checkpoint else f'--run {folder}'}"

    def begin(self, composed: Mapping[str, Any], overrides: Sequence[str]) -> None:
        """Prepares the directory for what a command line asks for: a new run, or a resume of this one.

        `composed` is what Hydra made of its words, `overrides`.

        Raises:
            ConfigError: they cannot be used, or nothing to resume is there.
        """
        self._begun_here = not composed["resume"]
        config = asked_config(composed, overrides)
        if config.resume is None:
            self.create(settled(config, overrides))
        elif self.second.has_checkpoint:
            remedy = f"resume={self} goes on with that, and a longer first stage is a new run"
            raise ConfigError(f"resume={config.resume}: its second stage has begun; {remedy}")
        elif not self.has_checkpoint:
            raise ConfigError(f"resume={config.resume}: has no checkpoint to go on from; begin it anew: {self.command}")
        else:
            self.propose(config)

    def check_files(self) -> None:
        """Refuses, by a UserError, a pipe or a device in the directory, which would be waited for, and links to files.

        Through a link that somebody else has put there a run would write over a file of another place. A folder may be
        a link, to a larger disk say.
        """
        stages = (self, self.second)
        folders = [folder for one in stages for folder in (one.directory, one.checkpoints, one.predictions)]
        for path in (path for folder in folders for path in folder.glob("*")):
            if is_stream(path):
                raise UserError(f"{path}: is a pipe or a device, which no run writes to; remove it")
            if path.is_symlink() and not path.is_dir():
                raise UserError(f"{path}: is a link, which no run writes through; put a copy there, or remove it")

    def create(self, config: Config) -> None:
        """A new run: makes the directory, and what is trained in it is this."""
        self.candidate_file.unlink(missing_ok=True)
        write_text_atomically(self.config_file, _as_yaml(config))

    def propose(self, config: Config) -> None:
        """Asks for the run to go on like this; `config.resume` says from where. `accept` makes it so."""
        write_text_atomically(self.candidate_file, _as_yaml(config))

    def accept(self, config: Config) -> None:
        """Makes `config.yaml` say how the run is trained from now on."""
        write_text_atomically(self.config_file, _as_yaml(replace(config, resume=None)))
        self.candidate_file.unlink(missing_ok=True)

    def go_on(self) -> None:
        """Proposes to go on from where this run stopped, if it has begun and nothing else is proposed."""
        self._begun_here = False
        if not self.candidate_file.is_file() and self.has_checkpoint:
            self.propose(replace(self.started_config(), resume=str(self.directory)))

    def withdraw(self) -> None:
        """Takes back what was refused: a candidate, and a directory that was begun here and holds nothing else."""
        if self._begun_here is not None:  # else another process may train here, and have a candidate of its own
            self.candidate_file.unlink(missing_ok=True)
        if self._begun_here and {path.name for path in self.directory.glob("*")} <= {CONFIG}:
            shutil.rmtree(self.directory)
            with suppress(OSError):
                self.directory.parent.rmdir()

    def config(self) -> Config:
        """What is to be trained here now: the candidate of a resume, else the run as it was started.

        Raises:
            ConfigError: no configuration, or one that cannot be used.
        """
        return self._restored([self.candidate_file]) if self.candidate_file.is_file() else self.started_config()

    def started_config(self) -> Config:
        """The configuration that the run was started or last resumed with; errors as `config`."""
        return self._restored([self.config_file, self.directory / OLD_CONFIG])

    def values(self) -> dict[str, Any] | None:
        """The started configuration as it is written, nested; None where there is none that can be read."""
        with suppress(ConfigError):
            return migrated(self._values([self.config_file, self.directory / OLD_CONFIG])[0])
        return None

    def status(self) -> RunStatus | None:
        """Where the run stands; None where none has begun. Of two stages, what the last one reached counts."""
        own = self.stage_status()
        if own is None or not own.then or own.state != "finished":
            return own
        second = self.second.stage_status()
        if second is None:
            return replace(own, state="running")  # between them
        whole = {name: getattr(own, name) + getattr(second, name) for name in ("epoch", "max_epochs", "seconds")}
        return replace(second, **whole, then=own.then)

    def stage_status(self) -> RunStatus | None:
        """Where the stage in this very directory stands."""
        return read_status(self.status_file)

    def record(self, **changes: Any) -> None:
        """Writes where this stage stands: what the status said, with these fields changed."""
        values = asdict(replace(self.stage_status() or RunStatus(), **changes))
        del values["written"]
        if self.status_file.is_symlink():  # of a run that was refused for it
            self.status_file.unlink()
        write_text_atomically(self.status_file, json.dumps(values, indent=1) + "\n")

    def record_failure(self, reason: str) -> None:
        """Makes the status of a run that has ended say why, where the run itself could not."""
        status = self.current.stage_status()
        if status and status.state in ("running", "failed"):
            self.current.record(state="failed", reason=reason)

    def rows(self) -> list[dict[str, str]]:
        """`metrics.csv` of this stage, as far as it can be read."""
        return read_rows(self.metrics_file)

    def test_metrics(self) -> dict[str, float]:
        """What the best checkpoint reached on the test split, as `test/cider`; empty where nobody scored it."""
        return {f"test/{name}": value for name, value in read_scores(self.test_scores).items()}

    def _restored(self, files: Sequence[Path]) -> Config:
        values, plugins = self._values(files)
        check_origins(plugins, self.directory)  # first: what is missing has a plugin's name
        return restore(values)

    def _values(self, files: Sequence[Path]) -> tuple[dict[str, Any], Any]:
        """What the first of these files holds: the configuration, and which plugins' parts it names."""
        file = next((file for file in files if file.is_file()), None)
        if file is None:
            missing = f"give a run directory ({files[0]} is missing)"
            remedy = f"it holds {below}" if (below := runs_below(self.directory)) else missing
            raise ConfigError(f"{self.directory}: no run was started there; {remedy}")
        values = load_yaml(file)
        if not isinstance(values, dict):
            raise ConfigError(f"{file}: holds no configuration; restore it, or start a new run")
        return values, values.pop(PLUGINS, [])


def runs_below(folder: Path) -> str:
    """For messages: the runs in a folder of them, the best of those that tell first; empty where there are none."""
    runs = [Run(path.parent) for pattern in ("*", "*/*") for path in folder.glob(f"{pattern}/{STATUS}")]
    stages = [(run.status() or RunStatus(), run) for run in runs if not run.is_second]
    found = sorted(stages, key=lambda pair: _rank(*pair))
    if not found:
        return ""
    scores = [f" ({status.monitor} {status.best:.3f})" if status.best is not None else "" for status, _ in found]
    named = [f"{run}{score}" for (_, run), score in zip(found, scores, strict=True)]
    count = "one run; name it:" if len(named) == 1 else f"{len(named)} runs; name one, such as"
    return f"{count} {', '.join(named[:3])}{', ...' if len(named) > 3 else ''}"


def _rank(status: RunStatus, run: Run) -> tuple[bool, float, str]:
    best = 0.0 if status.best is None else status.best
    return status.best is None, best if status.mode == "min" else -best, str(run)


def asked_config(composed: Mapping[str, Any], overrides: Sequence[str]) -> Config:
    """The configuration that a command line asks for, of a new run or a resumed one; as `Run.begin`."""
    if not composed["resume"]:
        return parse(composed)
    started = Run.of(composed["resume"]).started_config().as_dict()
    return parse(overridden(started, plain(composed), overrides))


def at_current_stage(words: Sequence[str]) -> list[str]:
    """The words of a command line, whose `resume=RUN` means the second stage of a run that is in it."""
    path = resumed_from(words)
    if path is None or not Run(path).second.has_checkpoint:
        return list(words)
    return [f"resume={Run(path).second}" if key_of(word) == "resume" else word for word in words]


def with_parts_of_run(words: Sequence[str]) -> list[str]:
    """The words of a resume, and which parts the run has: their settings are what the other words may change.

    Raises:
        ConfigError: no run lies there.
    """
    resume = resumed_from(words)
    if resume is None:
        return list(words)
    values, given = Run.of(resume).started_config().as_dict(), {word.partition("=")[0] for word in words}
    parts = {section: (kind, values[section][key]) for section, (kind, key) in SECTIONS.items()}
    known = [f"{section}={name}" for section, (kind, name) in parts.items() if name in names(kind)]
    return [*(word for word in known if word.partition("=")[0] not in given), *words]


def _as_yaml(config: Config) -> str:
    used = origins(config)
    values = config.as_dict() | ({PLUGINS: used} if used else {})
    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
