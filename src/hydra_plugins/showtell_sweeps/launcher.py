"""`hydra/launcher=showtell`: hands Hydra's jobs to `showtell.sweeps`, which runs each as a command of its own.

Hydra composes, this class translates: a list of overrides becomes a folder, a checked configuration and a command line.
A job in a process of its own can exit, crash or start further ranks without touching the others.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from showtell.config import Config, ConfigError, parse
from showtell.sweeps.job import Job, check_folders, folder_name

if TYPE_CHECKING:
    from showtell.sweeps.run_sweep import OnResult

# what concerns the sweep as a whole and not its jobs
_OF_THE_SWEEP = (
    "hydra.mode",
    "hydra.run.dir",
    "hydra.sweep",
    "hydra.launcher",
    "hydra.sweeper",
    "hydra/launcher",
    "hydra/sweeper",
)


class ShowtellLauncher(Launcher):
    """Runs the jobs of a sweep side by side; see `showtell.sweeps`."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Remembers what Hydra hands over; the jobs' own command lines find the task function again."""
        self.hydra_context = hydra_context
        self.composed = config

    @property
    def sweep_dir(self) -> Path:
        """Where the folders of the jobs lie."""
        return Path(str(self.composed.hydra.sweep.dir))

    def config(self, overrides: Sequence[str] = ()) -> Config:
        """The configuration of the sweep, or of one of its jobs.

        Raises:
            ConfigError: it cannot be used.
        """
        return parse(_without_hydra(self._compose(overrides) if overrides else self.composed))

    def job(
        self, overrides: Sequence[str], number: int, varied: Sequence[str], environment: dict[str, str] | None = None
    ) -> Job:
        """Composes one job.

        Args:
            overrides: the words of its command line.
            number: its place in the sweep.
            varied: those words in which it differs from other jobs.
            environment: what it finds beyond the sweep's.

        Raises:
            ConfigError: its configuration cannot be used.
        """
        composed = self._compose(overrides)
        settings = composed.hydra.job
        with open_dict(composed):
            settings.num, settings.id = number, str(number)
            settings.override_dirname = folder_name(overrides, varied)
        directory = Path(str(composed.hydra.sweep.dir)) / str(composed.hydra.sweep.subdir)
        title = " ".join(varied) or directory.name
        return Job(title, directory, tuple(overrides), parse(_without_hydra(composed)), environment or {})

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs a grid to its end, and compares its runs.

        Raises:
            ConfigError: the grid makes no sense; nothing was started.
            SystemExit: a run is missing, or somebody stopped the sweep.
        """
        common = set(job_overrides[0]).intersection(*job_overrides) if job_overrides else set()
        jobs = [
            self.job(words, number, [word for word in words if word not in common])
            for number, words in enumerate(job_overrides, initial_job_idx)
        ]
        check_folders(jobs)
        code = self.run(jobs, len(jobs))
        if code:
            raise SystemExit(code)
        return [JobReturn(overrides=overrides, status=JobStatus.COMPLETED) for overrides in job_overrides]

    def run(
        self,
        jobs: Iterable[Job],
        total: int,
        on_result: "OnResult" = lambda result: None,
        before: Sequence[Path] = (),
    ) -> int:
        """Runs jobs as they are asked for, and returns the exit code of the sweep; arguments as in `run_sweep`.

        Raises:
            ConfigError: a setting of the sweep cannot be used.
        """
        from showtell.sweeps.run_sweep import Program, run_sweep  # late: Hydra imports its plugins for `--help` too

        config = self.config()
        if config.resume is not None:
            raise ConfigError(
                "resume= goes with a single run; a sweep goes on where it stopped by the same command again"
            )
        command = (sys.executable, str(Path(sys.argv[0]).resolve()), *self._config_dirs())
        program = Program(command, self._hydra_overrides())
        return run_sweep(jobs, total, program, config, self.sweep_dir, on_result, before)

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        return self.hydra_context.config_loader.load_sweep_config(self.composed, list(overrides))

    def _hydra_overrides(self) -> tuple[str, ...]:
        words: list[str] = OmegaConf.to_container(self.composed.hydra.overrides.hydra)  # type: ignore[assignment]
        return tuple(word for word in words if not word.lstrip("+~").startswith(_OF_THE_SWEEP))

    def _config_dirs(self) -> list[str]:
        sources = self.composed.hydra.runtime.config_sources
        return [word for s in sources if s.provider == "command-line" for word in ("--config-dir", str(s.path))]


def _without_hydra(composed: DictConfig) -> dict[str, Any]:
    values = {key: value for key, value in composed.items_ex(resolve=False) if key != "hydra"}
    plain: dict[str, Any] = OmegaConf.to_container(OmegaConf.create(values), resolve=True)  # type: ignore[assignment]
    return plain


@dataclass
class LauncherConfig:
    """What Hydra needs to find the launcher; its settings are in the section `sweep`, where a user looks for them."""

    _target_: str = "hydra_plugins.showtell_sweeps.launcher.ShowtellLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="showtell", node=LauncherConfig, provider="showtell")
