"""Scheduled sampling: the decoder learns to go on from its own words (Bengio et al. 2015, arXiv 1506.03099).

In every step and for every caption a coin decides whether the next input is the caption's word or one drawn from
what the decoder just said; no gradient flows through the draw. It works on the step function, so with every
decoder, and costs what stepping costs: nothing can be computed for all words at once any more.
Shape legend: B batch, T words with `<end>`, V vocabulary.
"""

import torch
from torch import Tensor

from showtell.models.decoders.base import Decoder
from showtell.vocabulary import START


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
