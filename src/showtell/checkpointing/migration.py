"""What older releases wrote into a checkpoint, in today's words: the one place that knows their names."""

from typing import Any

RENAMED_WEIGHTS = {"average.": "ema.", "tuned.": "finetuned.", "tuned_average.": "finetuned_ema."}


def migrated(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The checkpoint with today's names of weights, and one owner of "best" where two callbacks kept it."""
    weights, states = checkpoint.get("state_dict"), checkpoint.get("callbacks")
    if isinstance(weights, dict):
        checkpoint = {**checkpoint, "state_dict": {_renamed(name): value for name, value in weights.items()}}
    best = states.get("BestCheckpoint") if isinstance(states, dict) else None
    if isinstance(states, dict) and isinstance(best, dict) and "best_score" in best:
        value, status = best["best_score"], states.get("Status")
        same = isinstance(status, dict) and value is not None and status.get("best") == value
        metrics = status.get("metrics", {}) if isinstance(status, dict) and same else {}
        one = {"monitor": best["monitor"], "value": value, "metrics": metrics, "epoch": None}
        checkpoint = {**checkpoint, "callbacks": {**states, "BestCheckpoint": one}}
    return checkpoint


def _renamed(name: object) -> object:
    if not isinstance(name, str):
        return name
    head, dot, rest = name.partition(".")
    return RENAMED_WEIGHTS.get(head + dot, head + dot) + rest
