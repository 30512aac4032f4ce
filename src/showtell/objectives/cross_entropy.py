"""Cross-entropy of people's captions under teacher forcing, with label smoothing and scheduled sampling.

Scheduled sampling: the decoder learns to go on from its own words (Bengio et al. 2015, arXiv 1506.03099). In every step
and for every caption a coin decides whether the next input is the caption's word or one drawn from what the decoder
just said; no gradient flows through the draw. It works on the step function, so with every decoder, and costs what
stepping costs: nothing can be computed for all words at once any more.
Shape legend: B batch, T words with `<end>`, V vocabulary.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from showtell.models.decoders.base import Decoder
from showtell.models.objective import CaptionBatch, Objective, References, teacher_forced_loss, token_cross_entropy
from showtell.objectives.settings import CrossEntropyConfig
from showtell.text import START, Vocabulary


class CrossEntropy(Objective):
    """Per token, and the term that a decoder adds to it.

    Label smoothing is Szegedy et al. 2016 (arXiv 1512.00567), section 7. Validation stays with plain cross-entropy, so
    that runs with different settings can be compared.
    """

    def __init__(
        self,
        config: CrossEntropyConfig | None = None,
        vocabulary: Vocabulary | None = None,
        references: References | None = None,
    ) -> None:
        super().__init__()
        self.config = config or CrossEntropyConfig()

    @property
    def uses_extra_loss(self) -> bool:
        """Not where it steps."""
        return not self.config.scheduled_sampling

    def forward(self, decoder: Decoder, batch: CaptionBatch) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        """The loss."""
        share = self.config.scheduled_sampling * batch.progress  # linear, from 0 in the first epoch
        if share:
            logits = scheduled_sampling(decoder, batch.features, batch.captions, share)
            return token_cross_entropy(logits, batch.captions, self.config.label_smoothing), {}
        loss, extra = teacher_forced_loss(decoder, batch.features, batch.captions, self.config.label_smoothing)
        return loss + extra, {}


def scheduled_sampling(decoder: Decoder, features: Tensor, captions: Tensor, share: float) -> Tensor:
    """Logits `(B, T, V)` of the captions' tokens, where a `share` of the inputs are the decoder's own words."""
    state = decoder.initial_state(features)
    tokens, answers = captions.new_full((len(captions),), START), []
    for truth in captions.unbind(1):
        logits, state = decoder.step(tokens, state)
        answers.append(logits)
        drawn = torch.multinomial(logits.detach().float().softmax(1), 1).squeeze(1)
        own = torch.rand(len(truth), device=truth.device) < share
        tokens = torch.where(own, drawn, truth)
    return torch.stack(answers, dim=1)
