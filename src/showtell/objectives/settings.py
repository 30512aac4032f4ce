"""Settings of the shipped objectives."""

from dataclasses import dataclass
from typing import ClassVar

from showtell.config.registry import declare
from showtell.config.sections import ObjectiveConfig
from showtell.config.setting import Needs, setting
from showtell.errors import ConfigError

_CROSS_ENTROPY = (Needs("objective.cross_entropy_weight"),)


@dataclass(kw_only=True)
class CrossEntropyConfig(ObjectiveConfig):
    """Cross-entropy of each word of a caption, given the words before it."""

    label_smoothing: float = setting(0.0, "share of the probability spread over all words", low=0, high=0.99)
    scheduled_sampling: float = setting(
        0.0, "probability of the decoder's own word as input in the last epoch; it grows from 0", low=0, high=1
    )


@dataclass(kw_only=True)
class SelfCriticalConfig(CrossEntropyConfig):
    """Captions that the decoder draws, rewarded by CIDEr-D; a second stage, see experiment=scst."""

    needs_trained_start: ClassVar[bool] = True
    needs_references: ClassVar[bool] = True

    name: str = setting("self_critical", "which objective")
    label_smoothing: float = setting(
        0.0, "share of the probability spread over all words", low=0, high=0.99, needs=_CROSS_ENTROPY
    )
    scheduled_sampling: float = setting(
        0.0, "probability of the decoder's own word as input in the last epoch; it grows from 0", low=0, high=1,
        needs=_CROSS_ENTROPY,
    )  # fmt: skip
    drawn_captions: int = setting(5, "captions drawn per picture", low=1, high=1000)
    baseline: str = setting(
        "mean", "what a reward is compared with: of the other drawn captions, or greedy", choices=("greedy", "mean")
    )
    draw_temperature: float = setting(
        1.0, "of the policy that draws and is trained; below 1 it is sharper than the decoder", low=0.05, high=10
    )
    reward_dropout: float = setting(
        0.0, "share of the features' channels that the drawing decoder does not see", low=0, high=0.99
    )
    cross_entropy_weight: float = setting(0.0, "what is added of cross-entropy", low=0, high=1e6)

    def check(self) -> None:
        """A mean over the other captions needs others."""
        if self.baseline == "mean" and self.drawn_captions < 2:
            raise ConfigError(
                f"objective.drawn_captions={self.drawn_captions} is out of range; it must be at least 2 "
                "for objective.baseline=mean"
            )


declare("objective", CrossEntropyConfig, "showtell.objectives.cross_entropy:CrossEntropy")
declare("objective", SelfCriticalConfig, "showtell.objectives.self_critical:SelfCritical")
