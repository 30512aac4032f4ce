"""What decoding works on and what it hands back.

A decoding algorithm sees a decoder only as a `StepFunction` and its memory only as a `State`, a tuple of tensors with
one row per caption that is being written. It moves rows about (`index_select`, `repeat_interleave` along dimension 0)
and never looks inside, so an LSTM's two matrices or a transformer's growing cache are all one to it. A `Stepper` may
say of the last tensors, such as a grid of regions, that they are the picture's: beams of a picture then share one row.

Legend of shapes: P pictures, G groups of beams, W beams of a group, N = P x G x W rows, T words so far, V vocabulary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from showtell.errors import UserError
from showtell.text import END

State = tuple[Tensor, ...]


class DecodingError(UserError):
    """A decoder that no caption can be read from; the message is one line with the remedy."""


class StepFunction(Protocol):
    """One step of a decoder, for all rows at once."""

    def __call__(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """From the last tokens (N,), int64, and the state to the next word's logits (N, V) and the new state."""
        ...


@dataclass(frozen=True)
class Stepper:
    """A step function that takes beams of one picture beside a single row of what it knows of the picture.

    Attributes:
        step: the step function.
        of_picture: so many tensors at the end of the state never change, and may have P rows where the others have
            P x k: those of a picture's k captions, side by side.
    """

    step: StepFunction
    of_picture: int = 0

    def __call__(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """See `StepFunction`."""
        return self.step(tokens, state)


@dataclass(frozen=True)
class Hypothesis:
    """One complete caption. Every caption ends with `<end>`, also one that was cut at `max_length`.

    Attributes:
        tokens: The words, at least one, without `<start>`, `<end>` and `<unk>`.
        log_prob: The decoder's log-probability of the words and of `<end>` after them, natural logarithm.
        word_log_probs: Its summands: one per word, and `<end>`'s last.
        score: `log_prob` over (number of words + 1) to the power of `length_penalty`.
    """

    tokens: tuple[int, ...]
    log_prob: float
    word_log_probs: tuple[float, ...]
    score: float


def complete(tokens: Sequence[int], log_probs: Sequence[float], length_penalty: float) -> Hypothesis:
    """The hypothesis in a row of tokens that holds `<end>`; what follows `<end>` is padding."""
    length = tokens.index(END) + 1
    log_prob = math.fsum(log_probs[:length])
    return Hypothesis(
        tokens=tuple(tokens[: length - 1]),
        log_prob=log_prob,
        word_log_probs=tuple(log_probs[:length]),
        score=log_prob / length**length_penalty,
    )


def select_rows(state: State, rows: Tensor) -> State:
    """The state of the given rows (N,), in their order."""
    return tuple(tensor.index_select(0, rows) for tensor in state)


def repeat_rows(state: State, times: int) -> State:
    """Every row `times` times, copies side by side."""
    return state if times == 1 else tuple(tensor.repeat_interleave(times, 0) for tensor in state)


def split_state(step: StepFunction, state: State) -> tuple[State, State]:
    """The tensors of a state that are the captions', and those that are the pictures'."""
    own = len(state) - (step.of_picture if isinstance(step, Stepper) else 0)
    return state[:own], state[own:]


def log_normalizer(logits: Tensor) -> Tensor:
    """What turns logits (N, V) into log-probabilities when subtracted: (N, 1).

    Raises:
        DecodingError: the logits hold NaN or infinity, or nothing but -infinity.
    """
    normalizer = logits.logsumexp(dim=-1, keepdim=True)
    if not torch.isfinite(normalizer).all():
        raise DecodingError(
            "the decoder's logits are not finite: its weights have diverged; "
            "train with a lower training.learning_rate or with training.gradient_clip=1"
        )
    return normalizer


def ensemble_step(steps: Sequence[StepFunction], states: Sequence[State]) -> tuple[StepFunction, State]:
    """Joins decoders that share one vocabulary into one step function over their states side by side.

    The mean is taken over probabilities, not over logits, in each step (as in Sutskever et al. 2014, arXiv 1409.3215,
    and Vinyals et al. 2015, arXiv 1411.4555).

    Args:
        steps: One step function per decoder. Each returns as many state tensors as it is given.
        states: Their states after the picture, with equal numbers of rows.

    Returns:
        The step function, whose logits are log-probabilities, and the state it starts from.
    """
    own, shared = zip(*(split_state(step, state) for step, state in zip(steps, states, strict=True)), strict=True)

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        tensors = iter(state)
        given = [tuple(next(tensors) for _ in part) for part in (*own, *shared)]
        pairs = zip(steps, given[: len(own)], given[len(own) :], strict=True)
        answers = [one(tokens, (*captions, *pictures)) for one, captions, pictures in pairs]
        sizes = {logits.shape[1] for logits, _ in answers}
        if len(sizes) > 1:
            raise DecodingError(f"the decoders' vocabularies hold {sorted(sizes)} words; join only equal ones")
        log_probs = torch.stack([logits.float().log_softmax(dim=1) for logits, _ in answers])
        mean = log_probs.logsumexp(dim=0) - math.log(len(steps))
        after = [split_state(one, state) for one, (_, state) in zip(steps, answers, strict=True)]
        return mean, _flat([own for own, _ in after], [shared for _, shared in after])

    return Stepper(step, sum(map(len, shared))), _flat(own, shared)


def _flat(*groups: Sequence[State]) -> State:
    return tuple(tensor for group in groups for state in group for tensor in state)
