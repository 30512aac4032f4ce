import json

import pytest

pytest.importorskip("optuna")
from optuna import load_study
from optuna.distributions import CategoricalDistribution, FloatDistribution

from showtell.config import ConfigError, SweepConfig, parse
from showtell.run import Run
from showtell.sweeps.job import Job, Result
from showtell.sweeps.search import JOURNAL, STUDY, Search, _storage, open_trial

SPACE = {"x": FloatDistribution(0.0, 1.0), "y": CategoricalDistribution(["1", "2"])}


def search(folder, trials, space=SPACE, fixed=(), **settings):
    return Search(folder, space, fixed, SweepConfig(trials=trials, **settings), "min", 1)


def end(folder, number, state="finished", best=1.0):
    directory = folder / f"run{number}"
    directory.mkdir(exist_ok=True)
    (directory / "status.json").write_text(json.dumps({"state": state, "best": best, "max_epochs": 3}))
    result = "failed" if state == "failed" else state
    return Result(Job("a job", directory, parse({})), result)


def test_a_search_goes_on_with_what_was_left_open_and_repeats_nothing(tmp_path):
    first = search(tmp_path, 4)
    proposals = first.proposals()
    asked = [next(proposals) for _ in range(3)]
    first.tell(asked[0][0], end(tmp_path, 0))
    first.tell(asked[1][0], end(tmp_path, 1, "failed"))

    again = search(tmp_path, 6)  # neither told nor failed: trials 1 and 2
    assert again.total == 5
    proposals = list(again.proposals())
    assert proposals[:2] == asked[1:]
    assert len({json.dumps(values) for _, values in [asked[0], *proposals]}) == 6
    assert again.directories() == [tmp_path / "run0"]


def test_a_proposal_that_cannot_be_trained_is_replaced_and_not_met_again(tmp_path):
    space = {"x": CategoricalDistribution(["1", "2", "3"])}
    first = search(tmp_path, 3, space, sampler="random")
    found = []
    for number, values in first.proposals():
        if values["x"] == "2":
            first.reject(number, "x=2 makes no sense")
        else:
            found.append(values["x"])
            first.tell(number, end(tmp_path, number))
    assert sorted(found) == ["1", "3"]
    (failed,) = [trial for trial in first.study.trials if "reason" in trial.user_attrs]
    assert (failed.params, failed.user_attrs["reason"], failed.state.name) == ({"x": "2"}, "x=2 makes no sense", "FAIL")
    again = search(tmp_path, 3, space, sampler="random")
    assert again.total == 1 and list(again.proposals()) == []


def test_an_impossible_trial_that_was_left_open_is_replaced_too(tmp_path):
    number, _ = next(search(tmp_path, 1).proposals())
    again = search(tmp_path, 1)
    proposals = again.proposals()
    assert next(proposals)[0] == number
    again.reject(number, "no")
    assert next(proposals)[0] != number and next(proposals, None) is None


def test_a_mistake_in_what_all_runs_share_ends_the_search_early(tmp_path):
    it = search(tmp_path, 5)
    with pytest.raises(ConfigError, match="none of 10 proposals can be trained: seed=-1 is out of range"):
        for number, _ in it.proposals():
            it.reject(number, "seed=-1 is out of range")


def test_a_space_without_anything_to_train_is_refused(tmp_path):
    it = search(tmp_path, 2, {"y": CategoricalDistribution(["1", "2"])})
    with pytest.raises(ConfigError, match="none of 2 proposals can be trained: y makes no sense"):
        for number, _ in it.proposals():
            it.reject(number, "y makes no sense")


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize(("low", "high"), [(0.99991, 0.99999), (1e-5, 2e-5), (0.0, 0.5)])
def test_floats_stay_in_their_interval_and_are_short_where_that_is_possible(tmp_path, low, high, sampler):
    it = search(tmp_path, 12, {"x": FloatDistribution(low, high)}, sampler=sampler)
    values = [values["x"] for _, values in it.proposals()]
    assert len(set(values)) == 12 and all(low <= value <= high for value in values)
    assert high == 0.99999 or all(value == float(f"{value:.4g}") for value in values)
    assert values == [trial.params["x"] for trial in it.study.trials]


def test_tpe_learns_where_the_minimum_is(tmp_path):
    it = search(tmp_path, 40, {"x": FloatDistribution(0.0, 1.0)})
    values = []
    for number, proposal in it.proposals():
        values.append(proposal["x"])
        it.tell(number, end(tmp_path, number, best=(proposal["x"] - 0.8) ** 2))
    late = sum(abs(value - 0.8) < 0.15 for value in values[20:])
    assert late > sum(abs(value - 0.8) < 0.15 for value in values[:10]) + 5


def test_a_small_space_ends_the_search(tmp_path):
    it = search(tmp_path, 20, {"y": CategoricalDistribution(["1", "2", "3"])}, sampler="random")
    assert sorted(values["y"] for _, values in it.proposals()) == ["1", "2", "3"]


@pytest.mark.parametrize("other", [{"space": {"x": FloatDistribution(0.0, 2.0)}}, {"fixed": ["decoder=lstm512"]}])
def test_another_search_does_not_mix_with_a_study(tmp_path, other):
    search(tmp_path, 4, fixed=["sweep.jobs=2", "data.root=/a"])
    search(tmp_path, 8, fixed=["sweep.jobs=4"])
    with pytest.raises(ConfigError, match="the study of a search over other settings; give this search a name"):
        search(tmp_path, 4, **other)


def test_a_hopeless_run_is_given_up_from_its_own_process(tmp_path):
    it = search(tmp_path, 10)
    good = [number for number, _ in zip((n for n, _ in it.proposals()), range(5), strict=False)]
    for number in good[:4]:
        trial = open_trial(it.path, number)
        for epoch in range(3):
            trial.report(1.0, epoch)
        it.tell(number, end(tmp_path, number))
    bad = open_trial(it.path, good[4])
    bad.report(9.0, 0)
    assert not bad.should_prune()  # the first epoch of a run is never the last
    bad.report(9.0, 1)
    assert bad.should_prune()
    it.tell(good[4], end(tmp_path, good[4], "pruned", 9.0))
    assert search(tmp_path, 10).total == 5


def test_the_command_searches_and_continues(sweep):
    words = ["sweep=tpe_small", "sweep.jobs=2", "training.max_epochs=2", "decoder.dropout=0.25"]
    first = sweep(*words, "sweep.trials=3")
    assert first.returncode == 0, first.stderr
    assert "3 jobs: 3 finished" in first.stdout
    again = sweep(*words, "sweep.trials=4")
    assert "1 jobs: 1 finished" in again.stdout and "4 runs by val/loss" in again.stdout
    configs = [Run(path.parent).values() for path in sweep.runs.glob("*/status.json")]
    assert len(configs) == 4 and {config["decoder"]["dropout"] for config in configs} == {0.25}
    assert all(3e-4 <= config["training"]["learning_rate"] <= 1e-2 for config in configs)
    assert {starts[0] for starts in sweep.starts().values()} == {"0"}


def test_the_command_trains_the_values_that_the_study_knows(sweep):
    words = ["sweep=tpe_small", "decoder.dropout=interval(0.49991,0.49999)", "decoder.hidden_size=choice(16)"]
    done = sweep(*words, "sweep.trials=3", "training.max_epochs=1")
    assert done.returncode == 0, done.stderr
    trials = load_study(study_name=STUDY, storage=_storage(sweep.runs / JOURNAL)).trials
    assert len(trials) == 3
    for trial in trials:
        trained = Run(sweep.folder / trial.user_attrs["directory"]).values()
        assert trained["decoder"]["dropout"] == trial.params["decoder.dropout"]
        assert trained["training"]["learning_rate"] == trial.params["training.learning_rate"]


def test_the_command_tells_what_is_impossible_and_searches_on(sweep):
    """A transformer's heads divide its size: of these sizes one in eight can be trained."""
    words = ["sweep=random_small", "decoder=transformer", "decoder.hidden_size=range(64,257)", "sweep.jobs=2"]
    words += ["training.max_epochs=1", "vocab.threshold=4", "decoder.dropout=0.1", "training.learning_rate=0.001"]
    first = sweep(*words, "sweep.trials=2")
    assert first.returncode == 0, first.stderr
    assert "2 jobs: 2 finished" in first.stdout
    told = impossible(first)
    assert told and "decoder.num_heads" in first.stdout
    again = sweep(*words, "sweep.trials=3")
    assert again.returncode == 0 and "1 jobs: 1 finished" in again.stdout
    assert not told & impossible(again)


def impossible(done):
    return {line.split()[1] for line in done.stdout.splitlines() if line.startswith("impossible ")}
