from dataclasses import dataclass

from torch.nn.functional import cross_entropy

import showtell
from showtell.config import ObjectiveConfig, setting
from showtell.models.objective import Objective


@dataclass(kw_only=True)
class FocalConfig(ObjectiveConfig):
    gamma: float = setting(2.0, "how much less an easy word counts; 0: not at all", low=0)


@showtell.register("objective", FocalConfig, name="focal")
class FocalLoss(Objective):
    def forward(self, decoder, batch):
        logits, extra = decoder.teacher_forced(batch.features, batch.captions)
        losses = cross_entropy(logits.flatten(0, 1), batch.captions.flatten(), reduction="none")
        return ((1 - (-losses).exp()) ** self.config.gamma * losses).mean() + extra, {}
