"""`hydra/sweeper=showtell_search`: reads a search space in Hydra's words, and lets `showtell.sweeps.search` fill it.

`choice(a,b)`, `a,b`, `range(1,9)`, `interval(0,0.5)` and `tag(log, interval(1e-4,1e-2))` vary; everything else is
fixed. Hydra's own interface runs batches; jobs go to the launcher one by one instead, so that no slot waits for the
slowest run of a batch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from showtell.config import ConfigError, monitor_mode
from showtell.sweeps.job import Job

from .launcher import ShowtellLauncher

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


class SearchSweeper(Sweeper):
    """A random or TPE search; the section `sweep` says how long, and whether hopeless runs are given up."""

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        self.params = dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Finds the launcher.

        Raises:
            ConfigError: it is another one than ours.
        """
        self.hydra_context = hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Searches to the end.

        Raises:
            ConfigError: the space cannot be searched.
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
                varied = [f"{key}={_word(value)}" for key, value in values.items()]
                job = launcher.job([*fixed, *varied], number, varied, search.environment(number))
                numbers[job] = number
                yield job

        before = search.directories()
        code = launcher.run(jobs(), search.total, lambda result: search.tell(numbers[result.job], result), before)
        if code:
            raise SystemExit(code)

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


def _word(value: Any) -> str:
    """A proposed value as a word: a choice is one already, and of a number four digits are enough."""
    return value if isinstance(value, str) else f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass
class SweeperConfig:
    """What Hydra needs to find the sweeper; `params` is the preset's space, as for Hydra's own sweeper."""

    _target_: str = "hydra_plugins.showtell_sweeps.sweeper.SearchSweeper"
    params: dict[str, Any] | None = field(default_factory=dict)


ConfigStore.instance().store(group="hydra/sweeper", name="showtell_search", node=SweeperConfig, provider="showtell")
