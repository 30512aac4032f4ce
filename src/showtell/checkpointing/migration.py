"""What older releases wrote into a checkpoint, in today's words: the one place that knows their names."""

from typing import Any

RENAMED_WEIGHTS = {"average.": "ema.", "tuned.": "finetuned.", "tuned_average.": "finetuned_ema."}


def migrated(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The checkpoint with today's names of weights."""
    weights = checkpoint.get("state_dict")
    if not isinstance(weights, dict):
        return checkpoint
    return {**checkpoint, "state_dict": {_renamed(name): value for name, value in weights.items()}}


def _renamed(name: object) -> object:
    if not isinstance(name, str):
        return name
    head, dot, rest = name.partition(".")
    return RENAMED_WEIGHTS.get(head + dot, head + dot) + rest
