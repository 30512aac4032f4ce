"""Hard attention: one region per word, learnt by REINFORCE (Xu et al. 2015, arXiv 1502.03044, section 4.1).

The model is soft attention's; only the context differs. In training, the location s_t is drawn from alpha_t and the
context is that region alone; with probability 1/2 per caption it is the expectation instead, which the paper found
to lower the variance. In evaluation (validation loss and decoding) the likeliest region is taken, so that captions
are the same every time.
Shape legend: B batch, T words with `<end>`, V vocabulary, R regions.
"""

import torch
from torch import Tensor

from showtell.models.decoders.attention import SoftAttentionDecoder
from showtell.models.settings import HardAttentionConfig

EXPECTED = 0.5
BASELINE_DECAY = 0.9
TINY = 1e-10


class HardAttentionDecoder(SoftAttentionDecoder):
    """Soft attention's LSTM that looks at one region at a time."""

    # where to look is learnt from `teacher_forced`'s extra loss alone
    learns_by_extra_loss = True
    baseline: Tensor

    def __init__(self, config: HardAttentionConfig, feature_size: int, vocabulary_size: int) -> None:
        super().__init__(config, feature_size, vocabulary_size)
        self.reinforce_weight = config.reinforce_weight
        self.entropy_weight = config.entropy_weight
        self.register_buffer("baseline", torch.zeros(()))

    def teacher_forced(self, features: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        """`forward`, and a term whose gradient is that of eq. 12 with baseline and entropy (section 4.1), per word.

        The moving baseline b_k = 0.9 b_{k-1} + 0.1 log p(y | s_k, a) is a buffer: it is part of the checkpoint.
        """
        # drawn once per caption, for all its words
        expected = torch.rand(len(captions), 1, device=captions.device) < EXPECTED
        before, weights, looks = self.unrolled(features, captions, expected)
        logits = self.output(before)
        log_likelihood = logits.log_softmax(2).gather(2, captions.unsqueeze(2)).squeeze(2).sum(1).detach()
        advantage = log_likelihood - self.baseline
        # log p(s | a); captions that took the expectation drew nothing
        log_drawn = (weights * looks).sum(2).clamp_min(TINY).log().sum(1) * ~expected.squeeze(1)
        entropy = -(weights * weights.clamp_min(TINY).log()).sum(2).mean()
        reward = self.reinforce_weight * (advantage * log_drawn).mean() / captions.shape[1]
        if self.training:
            self.baseline.lerp_(log_likelihood.mean(), 1 - BASELINE_DECAY)
        return logits, -reward - self.entropy_weight * entropy

    def before_words(self, features: Tensor, captions: Tensor) -> None:
        """Not possible: what is learnt by REINFORCE needs the logits."""

    def look(self, weights: Tensor, expected: Tensor | None = None) -> Tensor:
        """One region per row (eq. 8 and 9), as zeros and a one; in training all where `expected`, `(N, 1)`, says so."""
        if not self.training:
            return torch.zeros_like(weights).scatter_(1, weights.argmax(dim=1, keepdim=True), 1.0)
        drawn = torch.zeros_like(weights).scatter_(1, torch.multinomial(weights.detach(), 1), 1.0)
        # without `expected`: `step` while training, as scheduled sampling does
        return drawn if expected is None else torch.where(expected, weights, drawn)
