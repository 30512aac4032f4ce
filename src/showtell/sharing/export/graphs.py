"""A captioner as three ONNX graphs, each with a free number of rows.

    encoder.onnx        picture_0 (B, S, S, 3) uint8 RGB [, picture_1 of a pair's second encoder] -> features
    decoder_init.onnx   features -> state_0, state_1, ...
    decoder_step.onnx   tokens (N,), state_0, ... -> log_probs (N, V), [attention (N, R),] next_0, ...

Normalizing stands in the encoder's graph. Of the state only what a step changes comes out again; a program that moves
rows about (a beam) moves those of all of it. Which sizes of a state grow is found by taking steps. What was written is
run by ONNX Runtime and compared with torch, because a decoder's Python (a branch that depends on a number, say) may
have been frozen as it was taken once.
"""

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from showtell.config import ConfigError, ImageTransform
from showtell.models.decoders.base import Decoder
from showtell.models.encoders.base import Encoder
from showtell.prediction.captioner import Captioner
from showtell.sharing.export.caption import answers, session
from showtell.text import END, START

ENCODER, BEGIN, STEP = GRAPHS = ("encoder.onnx", "decoder_init.onnx", "decoder_step.onnx")
TOLERANCE = 1e-3
"""Of log-probabilities, and of features in units of their largest one, between torch and ONNX Runtime."""
_ROWS, _STEPS = 3, 3  # neither one nor two, which torch.export takes for constants
_LEAST = -1e30  # as decoding has it: a word that the decoder rules out can still be chosen where nothing else is left


class PictureEncoder(nn.Module):
    """Bytes as a picture file has them to features, one input per encoder."""

    def __init__(self, parts: Sequence[Encoder]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(copy.deepcopy(one).to(memory_format=torch.contiguous_format) for one in parts)
        for place, part in enumerate(parts):
            for name in ("mean", "std"):
                values = 255 * torch.tensor(getattr(part.transform, name))[:, None, None]
                self.register_buffer(f"{name}_{place}", values)

    def forward(self, *pictures: Tensor) -> Tensor:
        """Pictures `(B, S, S, 3)`, uint8."""
        features = []
        for place, (part, picture) in enumerate(zip(self.parts, pictures, strict=True)):
            mean, std = (self.get_buffer(f"{name}_{place}") for name in ("mean", "std"))
            features.append(part((picture.permute(0, 3, 1, 2).float() - mean) / std))
        return torch.cat(features, dim=-1) if len(features) > 1 else features[0]


class Beginning(nn.Module):
    """A decoder's state after the picture."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """Features to the state."""
        return self.decoder.initial_state(features)


class Step(nn.Module):
    """A step of a decoder; `changed` are the places of the state that it gives back."""

    def __init__(self, decoder: Decoder, changed: Sequence[int]) -> None:
        super().__init__()
        self.decoder, self.changed = decoder, changed

    def forward(self, tokens: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Tokens `(N,)` and the state to log-probabilities, weights on regions where it attends, what changed."""
        logits, new = self.decoder.step(tokens, state)
        weights = self.decoder.attention(new)
        said = logits.float().log_softmax(dim=1).clamp_min(_LEAST)
        return said, *([] if weights is None else [weights]), *(new[place] for place in self.changed)


def write_graphs(captioner: Captioner, folder: Path) -> None:
    """Writes the three files.

    Raises:
        ConfigError: a part that cannot be written down, or that ONNX Runtime understands in another way.
    """
    (config,), encoder, decoder = captioner.configs, captioner.encoder, captioner.decoder
    transforms = [one for part in encoder.parts for one in part.transform.parts]
    with torch.no_grad(), _named(f"decoder={config.decoder.name}"):
        features = torch.randn(_ROWS, *encoder.feature_shape, generator=torch.Generator().manual_seed(0))
        _write_decoder(decoder, features, folder)
    with torch.no_grad(), _named(f"encoder={config.encoder.name}"):
        _write_encoder(encoder.parts, transforms, folder)


def _write_decoder(decoder: Decoder, features: Tensor, folder: Path) -> None:
    rows = torch.export.Dim("rows")
    before = decoder.initial_state(features)
    names = [f"state_{place}" for place in range(len(before))]
    _write(Beginning(decoder), (features,), ({0: rows},), ["features"], names, folder / BEGIN)
    tokens = torch.full((len(features),), START)
    state = decoder.step(tokens, before)[1]
    for _ in range(_STEPS):
        before, state = state, decoder.step(tokens, state)[1]
    changed = [place for place, (old, new) in enumerate(zip(before, state, strict=True)) if old is not new]
    shapes = [
        {0: rows, **_growing(place, old, new)} for place, (old, new) in enumerate(zip(before, state, strict=True))
    ]
    outputs = ["log_probs", *(["attention"] if decoder.attends else []), *(f"next_{names[place]}" for place in changed)]
    inputs = ["tokens", *names]
    _write(Step(decoder, changed), (tokens, *state), ({0: rows}, tuple(shapes)), inputs, outputs, folder / STEP)
    _compare_decoder(decoder, features[:2], folder)


def _growing(place: int, old: Tensor, new: Tensor) -> dict[int, Any]:
    """The sizes of a part of the state that a step changes, by dimension."""
    sizes = enumerate(zip(old.shape, new.shape, strict=True))
    return {axis: torch.export.Dim(f"length_{place}_{axis}") for axis, (was, now) in sizes if was != now}


def _write_encoder(parts: Sequence[Encoder], transforms: Sequence[ImageTransform], folder: Path) -> None:
    model, rows = PictureEncoder(parts), torch.export.Dim("rows")
    generator = torch.Generator().manual_seed(0)
    sizes = [one.size for one in transforms]
    pictures = [torch.randint(256, (_ROWS, s, s, 3), generator=generator, dtype=torch.uint8) for s in sizes]
    names = [f"picture_{place}" for place in range(len(parts))]
    _write(model, tuple(pictures), (tuple({0: rows} for _ in parts),), names, ["features"], folder / ENCODER)
    found = answers(session(folder / ENCODER), dict(zip(names, [one[:2].numpy() for one in pictures], strict=True)))
    wanted = model(*(one[:2] for one in pictures)).numpy()
    _refuse_difference(np.abs(found["features"] - wanted).max() / np.abs(wanted).max())


def _write(
    model: nn.Module, inputs: Any, shapes: Any, input_names: list[str], output_names: list[str], path: Path
) -> None:
    with _quiet():
        torch.onnx.export(
            _captured(model.eval(), inputs, shapes), (), path, dynamo=True, input_names=input_names,
            output_names=output_names, external_data=False, verbose=False,
        )  # fmt: skip
        import onnx

        onnx.checker.check_model(path, full_check=True)


def _captured(model: nn.Module, inputs: Any, shapes: Any) -> torch.export.ExportedProgram:
    """The model's operations; read from its Python code, which is slower, where following one call does not do.

    `len(tensor)`, for one, is a plain number to who follows a call.
    """
    try:
        return torch.export.export(model, inputs, dynamic_shapes=shapes)
    except Exception:  # it raises whatever the model's code does with its kind of tensors
        return torch.export.export(model, inputs, dynamic_shapes=shapes, strict=True)


def _compare_decoder(decoder: Decoder, features: Tensor, folder: Path) -> None:
    """Takes some steps by both, from the first one, with fewer rows than the graphs were written with."""
    begin, step = session(folder / BEGIN), session(folder / STEP)
    state, theirs = decoder.initial_state(features), answers(begin, {"features": features.numpy()})
    tokens = torch.full((len(features),), START)
    for _ in range(_STEPS + 1):
        logits, state = decoder.step(tokens, state)
        said = answers(step, {"tokens": tokens.numpy(), **theirs})
        theirs = {name: said.get(f"next_{name}", old) for name, old in theirs.items()}
        wanted = logits.float().log_softmax(dim=1).clamp_min(_LEAST)
        _refuse_difference(np.abs(said["log_probs"] - wanted.numpy()).max())
        tokens = logits[:, END + 1 :].argmax(dim=1) + END + 1


def _refuse_difference(found: float) -> None:
    if not found <= TOLERANCE:
        raise ConfigError(f"ONNX Runtime says something else than torch, by {found:.2g}")


@contextmanager
def _named(part: str) -> Iterator[None]:
    """Whatever an exporter raises of a part is one line that names it."""
    try:
        yield
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = lines[0][:200] if lines else type(error).__name__
        raise ConfigError(
            f"{part} cannot be written as ONNX ({reason}); caption with predict.py, or change the part's Python code"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters tell of their own steps and of their own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
