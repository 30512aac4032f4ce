"""Decoders, one file each. What they all are: features in, the next word's logits out, at once or word by word.

    class MeanDecoder(Decoder):
        def __init__(self, config, feature_size, vocabulary_size): ...
        def initial_state(self, features): ...             # what is known once the picture was seen
        def step(self, tokens, state): ...                 # the next word's logits, and what is known then
        def forward(self, features, captions): ...         # the same for all words at once, where that is faster

A submodule `word_embedding` (an `nn.Embedding`) can start with pretrained vectors. Decoding calls what `stepper`
returns: `step`, unless a decoder knows of something quicker (`word_table.py`).
Shape legend: B batch, N rows, T words with `<end>`, V vocabulary, R regions, D feature.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import wraps
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from showtell.config import DecoderConfig, find
from showtell.decoding import State, StepFunction, Stepper, repeat_rows
from showtell.models.layers import given_words, grid_shape, padded
from showtell.models.products import Casts, keeping


class Decoder(nn.Module, ABC):
    """The contract; a class is built by `(config, feature_size, vocabulary_size)`; `config` is its settings.

    Attributes:
        learns_by_extra_loss: some weights have a gradient only where training adds what `teacher_forced` adds.
        takes_several: `forward` takes `(k B, T)` captions, k of each picture side by side, and sees a picture once.
        of_picture: so many tensors at the end of the state `step` hands back as it got them, and takes them with one
            row per picture where the others have k; see `decoding.Stepper`.
        compiles: the methods that `device.compile` compiles. What recurs from word to word is better named than what
            calls it: the loop would be compiled anew for each length of captions.
    """

    learns_by_extra_loss: ClassVar[bool] = False
    takes_several: ClassVar[bool] = False
    of_picture: int = 0
    compiles: ClassVar[tuple[str, ...]] = ("forward", "teacher_forced", "step")

    def forward(self, features: Tensor, captions: Tensor) -> Tensor:
        """Teacher forcing, word by word; who can say all words at once overrides it.

        Args:
            features: `(B, D)`, or regions `(B, R, D)`; a decoder that reads one vector flattens them.
            captions: `(B, T)` tokens without `<start>`, `<end>` last; `given_words` is what it is fed.

        Returns:
            Logits `(B, T, V)` of each token given the ones before it.
        """
        state, spoken = self.begin(features, captions), []
        for column in given_words(captions).unbind(1):
            logits, state = self.step(column, state)
            spoken.append(logits)
        return torch.stack(spoken, dim=1)

    def begin(self, features: Tensor, captions: Tensor) -> State:
        """The initial state of each caption, of which there may be several per picture."""
        state = self.initial_state(features)
        own = len(state) - self.of_picture
        return repeat_rows(state[:own], len(captions) // len(features)) + state[own:]

    @abstractmethod
    def initial_state(self, features: Tensor) -> State:
        """The state after the picture was seen: tensors with one row per picture, so that a beam can pick rows."""

    @abstractmethod
    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One word further: from the last tokens `(N,)` to the next word's logits `(N, V)` and the new state."""

    def stepper(self) -> Stepper:
        """`step` for decoding, valid as long as the weights stay as they are."""
        return Stepper(keeping_casts(self.step), self.of_picture)

    def teacher_forced(self, features: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        """`forward`, and what training adds to cross-entropy, a scalar; here nothing."""
        logits = self(features, captions)
        return logits, logits.new_zeros(())

    def before_words(self, features: Tensor, captions: Tensor) -> tuple[Tensor, Tensor] | None:
        """`teacher_forced` with what `self.output` (a `WordOutput`) makes logits of, `(B, T, X)`, instead of these.

        With it a large vocabulary's loss is computed without ever holding all logits; None: that is not possible.
        """
        return None

    def attention(self, state: State) -> Tensor | None:
        """The weights `(N, R)` on the regions in the step that led to a state; rows sum to 1. None: it does not attend.

        Who overrides this gets maps in TensorBoard, in the gallery and from `predict.py --attention`.
        """
        return None

    @property
    def attends(self) -> bool:
        """Whether `attention` has something to tell."""
        return type(self).attention is not Decoder.attention

    @classmethod
    def files(cls, config: Any) -> dict[str, str]:
        """Texts that it is built by besides its settings, by name; then they are its fourth argument, `files`.

        Checkpoints keep them. `tokenizer.json`, of the tokenizers library, cuts captions instead of `vocab.tokenizer`.
        """
        return {}

    def load_pretrained(self, config: Any) -> None:
        """Starts a new run with what weights are published; here with random ones."""

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compiles what training and decoding call, in place, so that parameters keep their names."""
        for name in self.compiles:
            setattr(self, name, torch.compile(getattr(self, name), *args, **kwargs))

    def __getstate__(self) -> dict[str, Any]:
        """A copy is not compiled; it would train the original."""
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        return {name: value for name, value in state.items() if name not in self.compiles}


def keeping_casts(step: StepFunction) -> StepFunction:
    """The step with each weight cast once where autocast would cast it in every step."""
    casts: Casts = {}

    @wraps(step)
    def keeps(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        with keeping(casts):
            return step(tokens, state)

    return keeps


def build_decoder(
    config: DecoderConfig, feature_shape: tuple[int, ...], vocabulary_size: int, files: Mapping[str, str] | None = None
) -> Decoder:
    """The decoder that the configuration names, for features of shape `(D,)` or `(R, D)`.

    `files` are those that a checkpoint keeps of it, see `Decoder.files`.
    """
    size = feature_shape[-1] if config.reads_regions else math.prod(feature_shape)
    built_by: type[Decoder] = find("decoder", config.name).load()
    read = decoder_files(config) if files is None else files
    return built_by(config, size, vocabulary_size, **({"files": read} if read else {}))


def decoder_files(config: DecoderConfig) -> dict[str, str]:
    """What `Decoder.files` says; of a plugin's function nothing."""
    found: dict[str, str] = getattr(find("decoder", config.name).load(), "files", lambda _: {})(config)
    return found


@torch.no_grad()
def word_attention(decoder: Decoder, features: Tensor, tokens: Tensor) -> Tensor:
    """Where a decoder that attends looked for each word of given captions.

    Args:
        decoder: in evaluation mode.
        features: `(B, R, D)`.
        tokens: `(B, T)` the words; what follows a shorter caption's end does not matter.

    Returns:
        `(B, T, R)`: the weights of the step that said the word.
    """
    state, weights = decoder.initial_state(features), []
    for column in given_words(tokens).unbind(1):
        _, state = decoder.step(column, state)
        looked = decoder.attention(state)
        assert looked is not None
        weights.append(looked)
    return torch.stack(weights, dim=1)


def attention_maps(decoder: Decoder, features: Tensor, captions: Sequence[Sequence[int]]) -> list[Tensor]:
    """`word_attention` for captions of any lengths, each as `(words, rows, columns)` on the CPU; else an empty list."""
    if not decoder.attends or not captions:
        return []
    tokens, _ = padded(captions, features.device)
    weights = word_attention(decoder, features, tokens).float().cpu()
    maps = weights.unflatten(2, grid_shape(weights.shape[2]))  # type: ignore[no-untyped-call]
    return [maps[i, : len(caption)] for i, caption in enumerate(captions)]
