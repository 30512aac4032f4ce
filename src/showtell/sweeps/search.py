"""A search: Optuna proposes runs, one by one, and learns from those that have ended.

Why no ready-made sweeper: Hydra's Optuna plugin pins optuna<3, waits for a whole batch before it asks again, and knows
neither pruning nor how to go on. Here a trial is asked for when there is room for it, its run is judged by its
`status.json`, and the study is one append-only file (`study.journal`) that is safe over processes and survives any
kill. A trial whose run was stopped or failed stays open in it, so the same command resumes that run first and then asks
for what is missing.

This module does not import optuna until a study is opened: `--help` and ordinary runs do without.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from showtell.config import ConfigError, SweepConfig
from showtell.run import Run
from showtell.sweeps.job import tells_runs_apart
from showtell.sweeps.outcome import Outcome

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

JOURNAL = "study.journal"
STUDY = "search"
STUDY_VARIABLE = "SHOWTELL_STUDY"
TRIAL_VARIABLE = "SHOWTELL_TRIAL"
DIRECTORY = "directory"
# the first runs, and the first epoch of each, are never given up: there is nothing to compare with yet
UNPRUNED_TRIALS, UNPRUNED_EPOCHS = 4, 1
ATTEMPTS = 100


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
        open_trials = [(trial.number, trial.params) for trial in self._trials("RUNNING")]
        self._open = iter(open_trials)
        done = len(self._trials("COMPLETE")) + len(self._trials("PRUNED"))
        self._new = max(0, settings.trials - done - len(open_trials))
        self.total = self._new + len(open_trials)
        self.done = done

    def proposals(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Numbers and values of trials: first those left open, then new ones, each asked for when it is wanted."""
        yield from self._open
        for _ in range(self._new):
            trial = self._unlike_all_others()
            if trial is None:  # a small space holds no further run
                return
            yield trial.number, trial.params

    def environment(self, number: int) -> dict[str, str]:
        """How a run finds its trial."""
        return {STUDY_VARIABLE: str(self.path), TRIAL_VARIABLE: str(number)} if self.pruning else {}

    def tell(self, number: int, outcome: Outcome) -> None:
        """Tells the study how a run ended; one that did not reach its end stays open."""
        from optuna.trial import TrialState

        status = Run(outcome.job.directory).status()
        if outcome.failed or status is None:
            return
        _trial(self.study, number).set_user_attr(DIRECTORY, str(outcome.job.directory))
        if status.state == "pruned":
            self.study.tell(number, state=TrialState.PRUNED)
        elif status.best is not None:
            self.study.tell(number, status.best)

    def directories(self) -> list[Path]:
        """The runs that are done."""
        found = (trial.user_attrs.get(DIRECTORY) for state in ("COMPLETE", "PRUNED") for trial in self._trials(state))
        return [Path(directory) for directory in found if directory]

    def _trials(self, state: str) -> list[Any]:
        from optuna.trial import TrialState

        return self.study.get_trials(deepcopy=False, states=(TrialState[state],))

    def _unlike_all_others(self) -> "Trial | None":
        """A new trial; a proposal that was made before would train the same run again."""
        from optuna.trial import TrialState

        known = [trial.params for state in ("COMPLETE", "PRUNED", "RUNNING") for trial in self._trials(state)]
        for _ in range(ATTEMPTS):
            trial = self.study.ask(self.space)
            if trial.params not in known:
                return trial
            self.study.tell(trial.number, state=TrialState.FAIL)
        return None


def open_trial(path: Path, number: int) -> "Trial":
    """A trial of a study, from the process of its run."""
    from optuna import load_study

    return _trial(load_study(study_name=STUDY, storage=_storage(path), pruner=_pruner()), number)


def _trial(study: "Study", number: int) -> "Trial":
    from optuna.trial import Trial

    return Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)


def _about(space: Mapping[str, "BaseDistribution"], fixed: Sequence[str], direction: str) -> str:
    """What makes a search this search; how many trials, how many at once and where is not part of it."""
    kept = sorted(word for word in fixed if tells_runs_apart(word))
    return json.dumps(
        {"space": {key: repr(space[key]) for key in sorted(space)}, "fixed": kept, "direction": direction}
    )


def _open_study(path: Path, about: str, direction: str, sampler: str, seed: int) -> "Study":
    try:
        import optuna
    except ModuleNotFoundError:
        raise ConfigError("a search needs optuna, which is not installed; pip install 'showtell[sweep]'") from None
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
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(path)))


def _sampler(name: str, seed: int, before: int) -> "BaseSampler":
    """A sampler that is repeatable, and does not repeat itself when a search goes on."""
    from optuna.samplers import RandomSampler, TPESampler

    own = int.from_bytes(hashlib.sha256(f"{seed} {before}".encode()).digest()[:4], "little")
    # runs side by side: TPE must not propose what is being tried
    return RandomSampler(seed=own) if name == "random" else TPESampler(seed=own, constant_liar=True, n_startup_trials=5)


def _pruner() -> Any:
    from optuna.pruners import MedianPruner

    return MedianPruner(n_startup_trials=UNPRUNED_TRIALS, n_warmup_steps=UNPRUNED_EPOCHS)
