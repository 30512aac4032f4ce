"""A search: Optuna proposes runs, one by one, and learns from those that have ended.

Here (and not in Hydra's Optuna plugin, see `docs/decisions/sweeps.md`) a trial is asked for when there is room for it,
its run is judged by its `status.json`, and the study is one append-only file (`study.journal`) that is safe over
processes and survives any kill. A trial whose run was stopped or failed stays open in it, so the same command resumes
that run first and then asks for what is missing. A proposal that cannot be trained is a failed trial with its reason,
and is not made again.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from showtell.config import ConfigError, SweepConfig
from showtell.run import Run
from showtell.sweeps.job import Result, tells_runs_apart

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

JOURNAL = "study.journal"
STUDY = "search"
STUDY_VARIABLE = "SHOWTELL_STUDY"
TRIAL_VARIABLE = "SHOWTELL_TRIAL"
DIRECTORY, REASON = "directory", "reason"
# the first runs, and the first epoch of each, are never given up: there is nothing to compare with yet
UNPRUNED_TRIALS, UNPRUNED_EPOCHS = 4, 1
# so many proposals that are known or impossible, one after the other, end a search
ATTEMPTS = 200
# so many, all impossible for one reason, as well: it lies in what all runs share
SAME_REFUSALS = 10


class Search:
    """Proposals for runs, until `sweep.trials` runs are done.

    Args:
        folder: of the sweep; the study lies there.
        space: what may vary, by the name of the setting.
        fixed: what all runs share; a study belongs to one such choice.
        settings: how many trials, and how they are chosen.
        direction: `min` or `max`.
        seed: of the proposals.

    Raises:
        ConfigError: optuna is missing, or the folder holds the study of another search.
    """

    def __init__(
        self,
        folder: Path,
        space: Mapping[str, "BaseDistribution"],
        fixed: Sequence[str],
        settings: SweepConfig,
        direction: str,
        seed: int,
    ) -> None:
        self.space = dict(space)
        self.pruning = settings.pruning
        self.path = (folder / JOURNAL).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        about = _about(space, fixed, direction)
        self.study = _open_study(self.path, about, direction, settings.sampler, seed)
        self.done = len(self._trials("COMPLETE", "PRUNED"))
        self._open = [(trial.number, trial.params) for trial in self._trials("RUNNING")]
        self._new = max(0, settings.trials - self.done - len(self._open))
        self.total = self._new + len(self._open)
        self._rejected = [trial.user_attrs[REASON] for trial in self._trials("FAIL") if REASON in trial.user_attrs]

    def proposals(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Numbers and values of trials: first those left open, then new ones, each asked for when it is wanted.

        Raises:
            ConfigError: the space holds nothing that can be trained.
        """
        yield from self._open
        misses = 0
        while self._new and misses < ATTEMPTS and not self._hopeless():  # a small space holds no further run
            trial = self.study.ask(self.space)
            if trial.params in self._known(but=trial.number):  # would train the same run again
                self.study.tell(trial.number, state=_state("FAIL"))
                misses += 1
                continue
            self._new, before = self._new - 1, len(self._rejected)
            yield trial.number, trial.params
            misses = misses + 1 if len(self._rejected) > before else 0
        if self._new == self.total and self._rejected and not self.done:
            raise ConfigError(f"none of {len(self._rejected)} proposals can be trained: {self._rejected[-1]}")

    def reject(self, number: int, reason: str) -> None:
        """Tells the study that a proposal cannot be trained; another one takes its place."""
        _trial(self.study, number).set_user_attr(REASON, reason)
        self.study.tell(number, state=_state("FAIL"))
        self._rejected.append(reason)
        self._new += 1

    def environment(self, number: int) -> dict[str, str]:
        """How a run finds its trial."""
        return {STUDY_VARIABLE: str(self.path), TRIAL_VARIABLE: str(number)} if self.pruning else {}

    def tell(self, number: int, result: Result) -> None:
        """Tells the study how a run ended; one that did not reach its end stays open."""
        status = Run(result.job.directory).status()
        if result.failed or status is None:
            return
        _trial(self.study, number).set_user_attr(DIRECTORY, str(result.job.directory))
        if status.state == "pruned":
            self.study.tell(number, state=_state("PRUNED"))
        elif status.best is not None:
            self.study.tell(number, status.best)

    def directories(self) -> list[Path]:
        """The runs that are done."""
        found = (trial.user_attrs.get(DIRECTORY) for trial in self._trials("COMPLETE", "PRUNED"))
        return [Path(directory) for directory in found if directory]

    def _trials(self, *states: str) -> list[Any]:
        return list(self.study.get_trials(deepcopy=False, states=tuple(map(_state, states))))

    def _hopeless(self) -> bool:
        alike = len(self._rejected) >= SAME_REFUSALS and len(set(self._rejected)) == 1
        return alike and self._new == self.total and not self.done

    def _known(self, but: int) -> list[dict[str, Any]]:
        """What was proposed before; a repetition has failed without a reason."""
        trials = self._trials("COMPLETE", "PRUNED", "RUNNING", "FAIL")
        return [
            trial.params
            for trial in trials
            if trial.number != but and (trial.state != _state("FAIL") or REASON in trial.user_attrs)
        ]


def open_trial(path: Path, number: int) -> "Trial":
    """A trial of a study, from the process of its run."""
    return _trial(_optuna().load_study(study_name=STUDY, storage=_storage(path), pruner=_pruner()), number)


def _optuna() -> Any:
    """The library, imported once a study is opened: `--help` and ordinary runs do without."""
    try:
        import optuna
        import optuna.storages.journal
    except ModuleNotFoundError:
        raise ConfigError("a search needs optuna, which is not installed; pip install '.[sweep]'") from None
    return optuna


def _state(name: str) -> Any:
    return _optuna().trial.TrialState[name]


def _trial(study: Any, number: int) -> "Trial":
    trial: Trial = _optuna().trial.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)
    return trial


def _about(space: Mapping[str, "BaseDistribution"], fixed: Sequence[str], direction: str) -> str:
    """What makes a search this search; how many trials, how many at once and where is not part of it."""
    kept = sorted(word for word in fixed if tells_runs_apart(word))
    spelled = {key: repr(space[key]) for key in sorted(space)}
    return json.dumps({"space": spelled, "fixed": kept, "direction": direction})


def _open_study(path: Path, about: str, direction: str, sampler: str, seed: int) -> Any:
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=_storage(path),
        study_name=STUDY,
        load_if_exists=True,
        direction="minimize" if direction == "min" else "maximize",
        pruner=_pruner(),
    )
    if study.user_attrs.setdefault("about", about) != about:
        raise ConfigError(
            f"{path} is the study of a search over other settings; give this search a name of its own (name=...)"
        )
    study.set_user_attr("about", about)
    study.sampler = _sampler(sampler, seed, len(study.trials))
    return study


def _storage(path: Path) -> Any:
    storages = _optuna().storages
    return storages.JournalStorage(storages.journal.JournalFileBackend(str(path)))


def _sampler(name: str, seed: int, before: int) -> Any:
    """A sampler that is repeatable, and does not repeat itself when a search goes on.

    Its floats have four digits where their interval lets them: what the study knows is what is spelled and trained.
    """
    samplers, floats = _optuna().samplers, _optuna().distributions.FloatDistribution

    class Rounding(samplers.RandomSampler if name == "random" else samplers.TPESampler):  # type: ignore[misc]
        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            value = super().sample_independent(study, trial, name, distribution)
            if not isinstance(distribution, floats):
                return value
            short = float(f"{value:.4g}")
            return short if distribution.low <= short <= distribution.high else value

    own = int.from_bytes(hashlib.sha256(f"{seed} {before}".encode()).digest()[:4], "little")
    # runs side by side: TPE must not propose what is being tried
    return Rounding(seed=own, **({} if name == "random" else {"constant_liar": True, "n_startup_trials": 5}))


def _pruner() -> Any:
    return _optuna().pruners.MedianPruner(n_startup_trials=UNPRUNED_TRIALS, n_warmup_steps=UNPRUNED_EPOCHS)
