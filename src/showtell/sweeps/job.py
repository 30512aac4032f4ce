"""One run of a sweep: its folder, its configuration, and what is left to do for it.

The folder is named after the overrides, so the same command finds the same folder again, in any order of its words.
What is in the folder decides: done is skipped, begun is resumed, and a run with another configuration is nobody's to
overwrite.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from showtell.config import Config, ConfigError, parse
from showtell.run import DONE, Run, flat

MAX_NAME = 180  # of 255 bytes that file systems allow
# settings that leave a run what it is; a folder's name leaves them out, unless it is them that the sweep varies
NOT_OF_THE_RUN = (
    "resume", "cache", "sweep", "data.num_workers", "device", "features.place", "features.batch_size",
    "training.max_epochs", "training.log_every_steps", "training.sample_pictures",
    "training.checkpoint_every_steps", "training.checkpoint_every_minutes",
)  # fmt: skip
NOT_IN_NAMES = (*NOT_OF_THE_RUN, "name", "data.root", "hydra")


class ToDo(StrEnum):
    """What a sweep does with a job."""

    NEW = "new"
    RESUME = "resume"
    NOTHING = "nothing"


@dataclass(frozen=True, eq=False)
class Job:
    """A run to be made.

    `title` is what people call it, `overrides` are the words of its command line, `environment` is what it finds beyond
    the sweep's.
    """

    title: str
    directory: Path
    overrides: tuple[str, ...]
    config: Config
    environment: Mapping[str, str] = field(default_factory=dict)

    def to_do(self) -> ToDo:
        """Looks into the folder.

        Raises:
            ConfigError: the folder holds a run with another configuration.
        """
        self.check_folder()
        status = Run(self.directory).status()
        if status and status.state == "pruned":
            return ToDo.NOTHING
        if status and status.state in DONE and self.config.training.max_epochs <= status.max_epochs:
            return ToDo.NOTHING
        begun = any((self.directory / "checkpoints").glob("*.ckpt"))
        return ToDo.RESUME if begun else ToDo.NEW

    def check_folder(self) -> None:
        """Compares with the run that was started in this folder, if any.

        Raises:
            ConfigError: it has another configuration.
        """
        for key, old, new in self._differences():
            if not _belongs(key, NOT_OF_THE_RUN):
                raise ConfigError(
                    f"{self.directory} holds a run with {key}={old} instead of {new}; "
                    "remove it, or give this sweep a name of its own (name=...)"
                )

    def arguments(self, to_do: ToDo, hydra: Sequence[str] = ()) -> list[str]:
        """The command line after `train.py`.

        Args:
            to_do: `NEW` or `RESUME`. A resumed run has its configuration already; only what may differ is given again.
            hydra: overrides of Hydra's own settings.
        """
        folder = quoted(self.directory)
        if to_do is ToDo.NEW:
            return [*self.overrides, *hydra, f"hydra.run.dir={folder}", "hydra.mode=RUN"]
        changed = [
            f"{key}={spelled(new)}" for key, _, new in self._differences() if not _belongs(key, ("resume", "sweep"))
        ]
        return [f"resume={folder}", *changed, *hydra, "hydra.mode=RUN"]

    def _differences(self) -> list[tuple[str, Any, Any]]:
        saved = Run(self.directory).values()
        if saved is None:
            return []
        config = self.config
        try:
            old = parse(saved)
            before = flat(old.as_dict())
            if config.init_from:  # what the run adopted is not what the command line says
                config = config.adopting(old)
        except ConfigError:  # written by another version
            before = flat(saved)
        after = flat(config.as_dict())
        keys = sorted(before.keys() | after.keys())
        return [(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]


def folder_name(overrides: Iterable[str], varied: Iterable[str] = ()) -> str:
    """A folder's name that tells the overrides: `decoder.hidden_size-256__vocab.threshold-8`.

    `=` and `,` cannot be passed back on the command line and `/` would nest, so they are replaced; a name that grows
    too long tells only the last parts of the keys, then is cut. A hash keeps what lost something apart. Equal words
    give equal names whatever else the sweep varies, so that a sweep which is extended finds its runs.

    Args:
        overrides: `key=value` words; their order does not matter.
        varied: the words in which the jobs of the sweep differ; they are always told.
    """
    differ = set(varied)
    kept = sorted(word for word in overrides if word in differ or tells_runs_apart(word))
    told = [word.lstrip("+").split("=", 1) for word in kept]
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
    return not _belongs(_key(override), NOT_IN_NAMES)


def check_folders(jobs: Sequence[Job]) -> None:
    """Refuses a sweep in which two jobs would share a folder, or one would continue another run.

    Raises:
        ConfigError: they would; one line.
    """
    seen: dict[Path, Job] = {}
    for job in jobs:
        if job.directory in seen:
            raise ConfigError(
                f"{' '.join(job.overrides)}: two jobs of the sweep would train in {job.directory}; "
                "leave one out, or let hydra.sweep.subdir tell them apart"
            )
        seen[job.directory] = job
        job.check_folder()


def quoted(value: object) -> str:
    """A value as Hydra's command line reads it, whatever characters it holds.

    Its grammar takes a backslash as itself unless a quote follows the run of them.
    """
    return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), str(value)) + "'"


def spelled(value: object) -> str:
    """A plain value as a word of the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if isinstance(value, int | float) else quoted(value)


def _key(override: str) -> str:
    return re.split(r"[=@]", override.lstrip("+~"), maxsplit=1)[0].replace("/", ".")


def _belongs(key: str, group: Iterable[str]) -> bool:
    return any(key == name or key.startswith(name + ".") for name in group)
