"""Self-critical sequence training: drawn captions are rewarded by CIDEr-D (Rennie et al. 2017, arXiv 1612.00563).

The gradient is eq. 7 of the paper, (r(w^s) - b) * grad log p(w^s), where w^s is drawn from the decoder and b is the
reward of its greedy caption (eq. 8), or the mean reward of the picture's other drawn captions (Luo 2020, arXiv
2003.09971), which needs no greedy pass. Drawing and scoring both run without the decoder's dropout, so that the
gradient belongs to the decoder that drew. It may draw at a temperature below 1: what is trained is then the sharper
policy, softmax(logits / temperature), whose captions resemble those that a beam finds; a decoder that few captions
taught spreads its words so far that it is mostly told which of its worst captions is the least bad. But a decoder knows
a few hundred pictures by heart, and is rewarded for it; so channels of each picture's features can be hidden, the same
ones for drawing and for scoring. Drawing keeps no graph: the log-probabilities come from one teacher-forced pass over
all drawn captions, which is much cheaper than stepping. A reward that does not count `<end>` as a word teaches captions
that break off after "with a" (the fault most often reported of this method); `cider_reward` counts it. What is added of
cross-entropy (Paulus et al. 2018, arXiv 1705.04304, section 3.3) keeps captions as long as people write them.
Drawn captions have at most `LONGEST` words.
Shape legend: B pictures, K captions drawn per picture, T words with `<end>`, V vocabulary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from showtell.config import DecodingConfig
from showtell.decoding import Hypothesis, decode
from showtell.evaluation.metrics import ReferenceCorpus
from showtell.models.decoders.base import Decoder
from showtell.models.layers import padded
from showtell.models.objective import CaptionBatch, Objective, References
from showtell.objectives.cross_entropy import CrossEntropy
from showtell.objectives.settings import SelfCriticalConfig
from showtell.text import END, START, UNK, Vocabulary

LONGEST = 20
CAPTION_END = "endofcaption"
Reward = Callable[[Sequence[int], Sequence[Sequence[int]]], NDArray[Any]]
"""From picture ids and as many captions (tokens without `<end>`) to one number each."""


class SelfCritical(Objective):
    """The policy gradient per word, with what is added of cross-entropy.

    Args:
        config: its settings; `drawn_captions` is K.
        vocabulary: what the tokens mean.
        references: the training captions as they were written, by picture id.
        reward: what a caption is worth; by default `cider_reward`.
    """

    def __init__(
        self,
        config: SelfCriticalConfig,
        vocabulary: Vocabulary,
        references: References | None,
        reward: Reward | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.cross_entropy = CrossEntropy(config)
        if reward is None:
            assert references is not None, "self-critical training needs references"
            reward = cider_reward(references, vocabulary)
        self.reward = reward

    @property
    def uses_extra_loss(self) -> bool:
        """Where its cross-entropy does."""
        return self.config.cross_entropy_weight > 0 and self.cross_entropy.uses_extra_loss

    def forward(self, decoder: Decoder, batch: CaptionBatch) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        """The loss, and the mean reward of the drawn captions."""
        loss, reward = self._policy_gradient(decoder, batch.features, batch.picture_ids.tolist())
        if weight := self.config.cross_entropy_weight:
            loss = loss + weight * self.cross_entropy(decoder, batch)[0]
        return loss, {"reward": reward}

    def _policy_gradient(self, decoder: Decoder, features: Tensor, pictures: Sequence[int]) -> tuple[Tensor, Tensor]:
        """A term whose gradient is the policy gradient, per word, and the mean reward."""
        samples, temperature = self.config.drawn_captions, self.config.draw_temperature
        was_training = decoder.training
        decoder.eval()
        features = without_channels(features, self.config.reward_dropout)
        drawing = DecodingConfig(method="sample", num_captions=samples, temperature=temperature)
        drawn = _captions(decoder, features, drawing)
        rewards = self._rewards(pictures, drawn).to(features.device)
        if self.config.baseline == "greedy":
            critic = self._rewards(pictures, _captions(decoder, features, DecodingConfig())).to(features.device)
        else:
            critic = (rewards.sum(dim=1, keepdim=True) - rewards) / (samples - 1)
        tokens, mask = padded([caption.tokens for captions in drawn for caption in captions], features.device)
        mask[:, LONGEST:] = 0  # the `<end>` after the last possible word was not drawn
        log_probs = log_probabilities(decoder, features, tokens, temperature)
        decoder.train(was_training)
        advantage = (rewards - critic).flatten().unsqueeze(1)
        return -(advantage * log_probs * mask).sum() / mask.sum(), rewards.mean()

    def _rewards(self, pictures: Sequence[int], captions: list[list[Hypothesis]]) -> Tensor:
        """`(B, K)`."""
        ids = [picture for picture, found in zip(pictures, captions, strict=True) for _ in found]
        values = self.reward(ids, [caption.tokens for found in captions for caption in found])
        return torch.as_tensor(values, dtype=torch.float32).view(len(captions), -1)


def cider_reward(references: Mapping[int, Sequence[str]], vocabulary: Vocabulary) -> Reward:
    """CIDEr-D against the training captions, with the end of a caption as a word of its own."""
    ended = {picture: [f"{text} {CAPTION_END}" for text in texts] for picture, texts in references.items()}
    corpus = ReferenceCorpus(ended, vocabulary.tokenizer)

    def reward(picture_ids: Sequence[int], captions: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        words = [[*vocabulary.decode(tokens).split(), CAPTION_END] for tokens in captions]
        return corpus.cider_d_rewards(picture_ids, words)

    return reward


def without_channels(features: Tensor, share: float) -> Tensor:
    """Features `(B, ..., D)` with a share of each picture's channels set to 0, the rest scaled up."""
    if not share:
        return features
    mask = nn.functional.dropout(features.new_ones(len(features), features.shape[-1]), share)
    return features * mask.view(len(features), *[1] * (features.ndim - 2), -1)


def log_probabilities(decoder: Decoder, features: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
    """Of each token `(N, T)` given those before it, among the words that decoding may say there.

    Each of the `(B, ...)` features has N / B captions, side by side.
    """
    if not decoder.takes_several:
        features = features.repeat_interleave(len(tokens) // len(features), 0)
    logits = decoder(features, tokens).float() / temperature
    never = torch.zeros(logits.shape[2], dtype=torch.bool, device=logits.device)
    never[[START, UNK]] = True
    logits = logits.masked_fill(never, -1e9)
    logits[:, 0, END] = -1e9
    log_probs = logits.log_softmax(dim=2)
    chosen: Tensor = log_probs.gather(2, tokens.unsqueeze(2)).squeeze(2)
    return chosen


def _captions(decoder: Decoder, features: Tensor, config: DecodingConfig) -> list[list[Hypothesis]]:
    with torch.no_grad():
        return decode(decoder.stepper(), decoder.initial_state(features), replace(config, max_length=LONGEST))
