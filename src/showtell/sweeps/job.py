"""One run of a sweep: its folder, its configuration, what is left to do for it, and how it ended.

The folder is named after the overrides, so the same command finds the same folder again, in any order of its words.
What is in the folder decides: done is skipped, begun is resumed, and a run with another configuration is nobody's to
overwrite.
"""

import hashlib
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from showtell.config import Config, ConfigError, restore
from showtell.config.command_line import IMPLIED
from showtell.config.migration import as_started
from showtell.config.reference import names_folders, traits
from showtell.config.schema import ADOPTED
from showtell.config.setting import flat
from showtell.config.stages import as_sized
from showtell.config.words import key_of
from showtell.leaderboard.compare import short_names
from showtell.ownership import locked, owner_of
from showtell.processes import COMMAND_VARIABLE, signal_name
from showtell.run import DONE, Run
from showtell.sweeps.supervisor import BUSY, NOT_STARTED

_TAIL = 8192  # bytes of a log in which its last line is looked for
MAX_NAME = 180  # of 255 bytes that file systems allow


class ToDo(StrEnum):
    """What a sweep does with a job."""

    NEW = "new"
    RESUME = "resume"
    NOTHING = "nothing"
    BUSY = "busy"


@dataclass(frozen=True, eq=False)
class Job:
    """A run to be made.

    `title` is what people call it, `environment` is what it finds beyond the sweep's.
    """

    title: str
    directory: Path
    config: Config
    environment: Mapping[str, str] = field(default_factory=dict)

    def to_do(self) -> ToDo:
        """Looks into the folder.

        Raises:
            ConfigError: the folder holds a run with another configuration.
        """
        self.check_folder()
        run = Run(self.directory)
        status = run.status()
        if status and status.state == "pruned":
            return ToDo.NOTHING
        epochs, first = as_sized(self.config, run.values() or {}).training.max_epochs, run.stage_status()
        is_longer = first is not None and epochs > first.max_epochs
        if is_longer and run.current.is_second:
            raise ConfigError(
                f"{self.directory}: training.max_epochs={epochs} asks for a longer first stage, and the second has "
                "begun; give this sweep a name of its own (name=...)"
            )
        if status and status.state in DONE and not is_longer:
            return ToDo.NOTHING
        return ToDo.RESUME if run.has_checkpoint else ToDo.NEW

    def check_folder(self) -> None:
        """Compares with the run that was started in this folder, if any.

        Raises:
            ConfigError: it has another configuration.
        """
        differences = self._differences()
        told = traits([key for key, _, _ in differences], flat(self.config.as_dict()))
        for key, old, new in differences:
            if told[key].identifies:
                raise ConfigError(
                    f"{self.directory} holds a run with {key}={old} instead of {new}; "
                    "remove it, or give this sweep a name of its own (name=...)"
                )

    def prepare(self) -> ToDo:
        """Makes the folder say what is to be trained in it, unless somebody is training there.

        Raises:
            UserError: the folder holds a run with another configuration, or a pipe.
        """
        to_do, run = self.to_do(), Run(self.directory)
        if to_do is ToDo.NOTHING:
            return to_do
        self.directory.mkdir(parents=True, exist_ok=True)
        held = locked(run.lock_file)
        if held is None:
            return ToDo.BUSY
        with held:
            run.check_files()
            if to_do is ToDo.NEW:
                run.create(self.config)
            elif run.current.is_second:
                run.current.go_on()
            else:
                run.propose(replace(self._adopting(run.values()), resume=str(self.directory)))
        return to_do

    def _adopting(self, saved: Mapping[str, Any] | None) -> Config:
        """With what the run here has that the command line does not say: a second stage's adoptions, old names."""
        if saved is None:
            return self.config
        config = as_sized(self.config, saved)
        config = config.adopting(restore(saved)) if config.init_from else config
        return as_started(config, saved)

    def _differences(self) -> list[tuple[str, Any, Any]]:
        run = Run(self.directory)
        saved = run.values()
        if saved is None or (run.status() is None and not run.has_checkpoint):
            return []  # nothing was trained: a mistake may be corrected
        config, before = self.config, flat(saved)
        with suppress(ConfigError):  # else written by another version
            before, config = flat(restore(saved).as_dict()), self._adopting(saved)
        after = flat(config.as_dict())
        keys = sorted(before.keys() | after.keys())
        return [(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]


def command_environment(overrides: Iterable[str]) -> dict[str, str]:
    """Tells a job the command that would train it alone."""
    return {COMMAND_VARIABLE: shlex.join(["python", "train.py", *overrides])}


def job_folder(parent: Path, overrides: Sequence[str], varied: Sequence[str]) -> Path:
    """Where a job trains: `hidden_size-256__threshold-8`, or the folder with whole keys that an older sweep made.

    TensorBoard calls a run by its folder, so what all names would repeat is left out.
    """
    whole = parent / folder_name(overrides, varied)
    return whole if whole.is_dir() else parent / folder_name(overrides, varied, short=True)


def folder_name(overrides: Iterable[str], varied: Iterable[str] = (), short: bool = False) -> str:
    """A folder's name that tells the overrides: `decoder.hidden_size-256__vocab.threshold-8`.

    `=` and `,` cannot be passed back on the command line and `/` would nest, so they are replaced; a name that grows
    too long tells only the last parts of the keys, then is cut. A hash keeps what lost something apart. Equal words
    give equal names whatever else the sweep varies, so that a sweep which is extended finds its runs.

    The order of the words does not matter. Those in which the jobs of the sweep differ, `varied`, are always told.
    A `short` name tells the last parts of keys where these words leave no doubt.
    """
    differ = set(varied)
    kept = sorted(word for word in overrides if word in differ or tells_runs_apart(word))
    told = [word.lstrip("+").split("=", 1) for word in kept]
    if short:
        names = short_names([words[0] for words in told])
        told = [[names[words[0]], *words[1:]] for words in told]
    full = "__".join("-".join(words) for words in told)
    if len(full) > MAX_NAME:
        told = [[words[0].rpartition(".")[2], *words[1:]] for words in told]
    unquoted = re.sub("['\"]", "", "__".join("-".join(words) for words in told))
    name = re.sub(r"[^\w.+-]+", "_", unquoted, flags=re.ASCII)
    if name == full and 0 < len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256("\n".join(kept).encode()).hexdigest()[:8]
    return f"{name[:MAX_NAME]}-{digest}" if kept else "default"


def tells_runs_apart(override: str) -> bool:
    """Whether another value would make another run."""
    return override != IMPLIED and names_folders(key_of(override).replace("/", "."))


def check_folders(jobs: Sequence[Job]) -> None:
    """Refuses a sweep in which two jobs would share a folder, or one would continue another run.

    Raises:
        ConfigError: they would; one line.
    """
    seen: dict[Path, Job] = {}
    for job in jobs:
        if job.directory in seen:
            raise ConfigError(
                f"{job.title}: two jobs of the sweep would train in {job.directory}; "
                "leave one out, or let hydra.sweep.subdir tell them apart"
            )
        seen[job.directory] = job
        job.check_folder()


def check_stages(jobs: Sequence[Job]) -> None:
    """Refuses a sweep of second stages over what they all have of the first one: they would be the same run.

    Raises:
        ConfigError: it is such a sweep; one line.
    """
    for job in jobs:
        adopted = [word for word in job.title.split() if key_of(word).partition(".")[0] in ADOPTED]
        idle = [word for word in adopted if key_of(word) != "encoder.finetune_blocks"]
        if job.config.init_from and idle:
            raise ConfigError(f"{idle[0]} has no effect with init_from, which brings encoder, decoder and vocabulary")


@dataclass(frozen=True)
class Result:
    """`state`: finished, pruned, skipped, stopped (by us), busy (elsewhere) or failed; `reason` is one line or None."""

    job: Job
    state: str
    reason: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the sweep lacks this run."""
        return self.state in ("failed", "stopped", "busy")


def busy(job: Job) -> Result:
    """The run is somebody else's at the moment."""
    return Result(job, "busy", f"{owner_of(Run(job.directory).lock_file)} is training this run")


def classify_exit(job: Job, code: int, stopping: bool = False) -> Result:
    """What an exit code means (128 + n for a signal), with the run's own account of it; or that we asked it to stop."""
    run = Run(job.directory)
    status = run.status()
    if code == 0 and status and status.state in DONE and job.to_do() is ToDo.NOTHING:
        return Result(job, status.state)
    if code == BUSY:
        return busy(job)
    if stopping:
        return Result(job, "stopped", "stopped with the sweep; the same command goes on")
    return Result(job, "failed", describe(code, last_line(run.log_file)))


def fix_status(result: Result) -> None:
    """Corrects `status.json` of a run that was cut too fast to say so itself: it is not running any more."""
    run = Run(result.job.directory)
    status = run.status()
    if result.failed and status is not None and status.state == "running":
        run.current.record(state=result.state, reason=result.reason)


def describe(code: int, line: str) -> str:
    """An exit code and the last words of a log, in one line."""
    if code == 0:
        return f"exited with 0 before it had finished{': ' + line if line else ''}"
    if code == NOT_STARTED:
        return line
    if code > 128:
        name = signal_name(code)
        saved = "" if name in ("SIGKILL", "SIGSEGV", "SIGABRT") or not line else f": {line}"
        return f"ended by {name} (exit code {code}){saved}"
    return f"{line.removeprefix('error: ') or 'no message'} (exit code {code})"


def last_line(log: Path) -> str:
    """The last line of a log that says something; of a traceback that is the exception."""
    try:
        if not log.is_file():  # a pipe would be waited for
            return ""
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip() for line in text.splitlines()]
    return next((line[:200] for line in reversed(lines) if line), "")
