"""What training minimizes, by name; the contract is `models/objective.py`."""

from collections.abc import Mapping, Sequence

from showtell.config import TrainingConfig
from showtell.models.objective import Objective
from showtell.objectives.cross_entropy import CrossEntropy, ScheduledSampling
from showtell.objectives.self_critical import SelfCritical, cider_reward
from showtell.vocabulary import Vocabulary

__all__ = ["OBJECTIVE_CLASSES", "CrossEntropy", "Objective", "ScheduledSampling", "SelfCritical", "build_objective"]

OBJECTIVE_CLASSES: dict[str, type[Objective]] = {"cross_entropy": CrossEntropy, "self_critical": SelfCritical}


def build_objective(
    config: TrainingConfig, vocabulary: Vocabulary, references: Mapping[int, Sequence[str]] | None = None
) -> Objective:
    """The objective that the configuration names.

    Args:
        config: its settings.
        vocabulary: of the run.
        references: the training captions as they were written, for an objective that needs them.
    """
    share, smoothing = config.scheduled_sampling, config.label_smoothing
    cross_entropy = ScheduledSampling(share, smoothing) if share else CrossEntropy(smoothing)
    if config.objective == "cross_entropy":
        return cross_entropy
    assert references is not None
    return SelfCritical(cider_reward(references, vocabulary), config, cross_entropy)
