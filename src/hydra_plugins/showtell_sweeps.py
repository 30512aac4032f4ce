"""Hydra's side of a sweep: `hydra/launcher=showtell` for a grid, and `hydra/sweeper=showtell_search` for a search.

Hydra composes, this module translates: overrides become a folder and a checked configuration, which `showtell.sweeps`
runs each in a process of its own. A search space is written in Hydra's words: `choice(a,b)`, `a,b`, `range(1,9)`,
`interval(0,0.5)` and `tag(log, interval(1e-4,1e-2))` vary, everything else is fixed. Hydra's own interface runs
batches; the jobs of a search go to the launcher one by one instead, so that no slot waits for the slowest of a batch.

Hydra imports this for `--help` too, so what runs a sweep is imported late.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from showtell.config import Config, ConfigError, monitor_mode, parse
from showtell.config.command_line import composing, with_groups
from showtell.config.stages import settled
from showtell.config.untrusted_yaml import check_words
from showtell.sweeps.job import Job, check_folders, check_stages, command_environment, job_folder

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from showtell.sweeps.run_sweep import OnResult

BY_OVERRIDES = "after-what-varies"
"""As `hydra.sweep.subdir`: a folder is named after the words that make a run another one."""


class ShowtellLauncher(Launcher):
    """Runs the jobs of a sweep side by side; see `showtell.sweeps`."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Remembers what Hydra hands over; a job finds the task function again by itself."""
        self.hydra_context = hydra_context
        self.composed = config

    @property
    def sweep_dir(self) -> Path:
        """Where the folders of the jobs lie."""
        return Path(str(self.composed.hydra.sweep.dir))

    def config(self, overrides: Sequence[str] = ()) -> Config:
        """What the sweep itself is told; the other settings may make no sense without those that vary.

        Raises:
            ConfigError: it cannot be used.
        """
        values = _without_hydra(self._compose(overrides) if overrides else self.composed)
        own = {key: values[key] for key in ("name", "seed", "resume", "device", "sweep")}
        return parse({**own, "training": {"monitor": values["training"]["monitor"]}})

    def job(
        self, overrides: Sequence[str], number: int, varied: Sequence[str], environment: dict[str, str] | None = None
    ) -> Job:
        """Composes the job at a place of the sweep; `varied` are the words in which it differs from other jobs.

        Raises:
            ConfigError: its configuration cannot be used.
        """
        with composing():
            composed = self._compose(with_groups(overrides))
        with open_dict(composed):
            composed.hydra.job.num, composed.hydra.job.id = number, str(number)
        subdir = str(composed.hydra.sweep.subdir)
        own = subdir == BY_OVERRIDES
        directory = job_folder(self.sweep_dir, overrides, varied) if own else self.sweep_dir / subdir
        title = " ".join(word.lstrip("+") for word in varied) or directory.name
        told = command_environment(overrides) | (environment or {})
        config = settled(parse(_without_hydra(composed)), with_groups(overrides))
        return Job(title, directory, config, told)

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
        check_stages(jobs)
        self.run(jobs, len(jobs))
        return [JobReturn(overrides=overrides, status=JobStatus.COMPLETED) for overrides in job_overrides]

    def run(
        self, jobs: Iterable[Job], total: int, on_result: "OnResult" = lambda result: None, before: Sequence[Path] = ()
    ) -> None:
        """Runs jobs as they are asked for; arguments as in `run_sweep`.

        Raises:
            ConfigError: a setting of the sweep cannot be used.
            SystemExit: a run is missing, or somebody stopped the sweep.
        """
        from showtell.sweeps.run_sweep import run_sweep

        config = self.config()
        if config.resume is not None:
            raise ConfigError(
                "resume= goes with a single run; a sweep goes on where it stopped by the same command again"
            )
        code = run_sweep(jobs, total, config, self.sweep_dir, on_result, before)
        if code:
            raise SystemExit(code)

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        check_words(overrides)  # a preset's words too
        return self.hydra_context.config_loader.load_sweep_config(self.composed, list(overrides))


class SearchSweeper(Sweeper):
    """A random or TPE search; the section `sweep` says how long, and whether hopeless runs are given up."""

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        self.params = dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Finds the launcher."""
        self.hydra_context = hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Searches to the end.

        Raises:
            ConfigError: the space cannot be searched, or the launcher is another one than ours.
            SystemExit: a run is missing, or somebody stopped the search.
        """
        from showtell.sweeps.search import Search

        launcher = self.launcher
        if not isinstance(launcher, ShowtellLauncher):
            raise ConfigError("a search needs hydra/launcher=showtell; leave hydra/launcher out")
        space, fixed = self._read(arguments)
        config = launcher.config(fixed)
        search = Search(
            launcher.sweep_dir, space, fixed, config.sweep, monitor_mode(config.training.monitor), config.seed
        )
        numbers: dict[Job, int] = {}

        def jobs() -> Iterator[Job]:
            for number, values in search.proposals():
                varied = [f"{key}={value}" for key, value in values.items()]  # a float's text is the float
                try:
                    job = launcher.job([*fixed, *varied], number, varied, search.environment(number))
                except ConfigError as error:
                    print(f"impossible {' '.join(varied)}  {error}", flush=True)
                    search.reject(number, str(error))
                else:
                    numbers[job] = number
                    yield job

        before = search.directories()
        launcher.run(jobs(), search.total, lambda result: search.tell(numbers[result.job], result), before)

    def _read(self, arguments: list[str]) -> tuple[dict[str, "BaseDistribution"], list[str]]:
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        words = [f"{key}={value}" for key, value in self.params.items()]
        # a word of the command line replaces the preset's word for the same setting
        overrides = {override.get_key_element(): override for override in parser.parse_overrides([*words, *arguments])}
        space = {key: _distribution(override) for key, override in overrides.items() if override.is_sweep_override()}
        fixed = [f"{key}={o.get_value_element_as_str()}" for key, o in overrides.items() if not o.is_sweep_override()]
        if not space:
            raise ConfigError(
                "there is nothing to search; name a range, e.g. 'training.learning_rate=interval(1e-4,1e-2)'"
            )
        return space, fixed


def _without_hydra(composed: DictConfig) -> dict[str, Any]:
    values = {key: value for key, value in composed.items_ex(resolve=False) if key != "hydra"}
    plain: dict[str, Any] = OmegaConf.to_container(OmegaConf.create(values), resolve=True)  # type: ignore[assignment]
    return plain


def _distribution(override: Override) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    if isinstance(value, IntervalSweep):
        assert value.start is not None and value.end is not None
        log = "log" in value.tags
        if isinstance(value.start, int) and isinstance(value.end, int):
            return IntDistribution(value.start, value.end, log=log)
        return FloatDistribution(float(value.start), float(value.end), log=log)
    if isinstance(value, RangeSweep) and all(isinstance(end, int) for end in (value.start, value.stop, value.step)):
        assert value.start is not None and value.stop is not None
        step = int(value.step)
        last = int(value.start) + (int(value.stop) - 1 - int(value.start)) // step * step  # `stop` is not in the range
        return IntDistribution(int(value.start), last, step=step)
    return CategoricalDistribution(list(override.sweep_string_iterator()))


@dataclass
class LauncherConfig:
    """What Hydra needs to find the launcher; its settings are in the section `sweep`, where a user looks for them."""

    _target_: str = "hydra_plugins.showtell_sweeps.ShowtellLauncher"


@dataclass
class SweeperConfig:
    """What Hydra needs to find the sweeper; `params` is the preset's space, as for Hydra's own sweeper."""

    _target_: str = "hydra_plugins.showtell_sweeps.SearchSweeper"
    params: dict[str, Any] | None = field(default_factory=dict)


_store = ConfigStore.instance()
_store.store(group="hydra/launcher", name="showtell", node=LauncherConfig, provider="showtell")
_store.store(group="hydra/sweeper", name="showtell_search", node=SweeperConfig, provider="showtell")
