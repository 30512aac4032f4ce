"""Whether a run has room: the least memory and disk that its settings take, against what is free.

Asked when captions and shapes are known and no picture has been encoded. What is counted is certain (weights, their
gradients and Adam's two moments, the logits of the largest batch with their gradient, the two checkpoints); what comes
besides depends on the network and is not guessed.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch

from showtell.config import Config, ConfigError
from showtell.distributed import get_ranks
from showtell.errors import UserError, refused_memory
from showtell.files import size
from showtell.models.decoders.base import build_decoder
from showtell.models.objective import MOST_LOGITS
from showtell.processes import free_memory, refuse_too_large
from showtell.training.folder_source import FolderSource
from showtell.training.sources import Source

FLOAT = 4
"""Bytes; weights are kept in float32 whatever the precision of training."""


def check_room(source: Source, run_dir: Path) -> None:
    """Refuses, by a ConfigError or UserError, a run that cannot fit."""
    config, device = source.config, source.encoder.device
    on_gpu = device.type == "cuda"
    free = torch.cuda.mem_get_info(device)[0] if on_gpu else free_memory() // get_ranks().local_size
    weights = FLOAT * _decoder_weights(source)
    sizes = f"decoder.hidden_size={config.decoder.hidden_size} decoder.embedding_size={config.decoder.embedding_size}"
    model = (5 if config.training.weight_average else 4) * weights
    refuse_too_large(model, free, sizes, "make the decoder smaller")
    captions, tokens = _largest_batch(source) if isinstance(source, FolderSource) else (0, 0)
    logits = 2 * FLOAT * min(tokens * len(source.vocabulary), MOST_LOGITS)
    pixels = FLOAT * captions * _pixels(source) if config.features.mode == "off" else 0
    batch = f"training.batch_size={config.training.batch_size}, {size(model)} of them for the decoder"
    refuse_too_large(model + logits + pixels, free, batch, "make training.batch_size smaller")
    needed, left = 2 * 3 * weights, shutil.disk_usage(_existing(run_dir)).free
    if needed > left:
        raise ConfigError(
            f"{sizes}: last.ckpt and best.ckpt take at least {size(needed)}, {size(left)} are free in {run_dir}; make "
            "room, or make the decoder smaller"
        )


@contextmanager
def naming_memory(config: Config) -> Iterator[None]:
    """A block of training in which an allocation that fails is one line with its size and the settings behind it."""
    try:
        yield
    except Exception as error:
        wanted = refused_memory(error)
        if wanted is None:
            raise
        raise UserError(f"{wanted} with {', '.join(_largest(config))}; make one of them smaller") from None


def _largest(config: Config) -> Sequence[str]:
    """The settings that memory grows with."""
    found = {"training.batch_size": config.training.batch_size, "decoder.hidden_size": config.decoder.hidden_size}
    if config.features.mode == "off":
        found["encoder.image_size"] = config.encoder.image_size
    else:
        found["features.batch_size"] = config.features.batch_size
    if config.decoding.method != "greedy":
        found["decoding.beam_size"] = config.decoding.beam_size
    return [f"{key}={value}" for key, value in found.items() if value]


def _decoder_weights(source: Source) -> int:
    """How many numbers a decoder trains; 0 where it cannot be built without memory, as a plugin's may not."""
    with suppress(Exception), torch.device("meta"):
        decoder = build_decoder(
            source.config.decoder, source.feature_shape, len(source.vocabulary), source.decoder_files
        )
        return sum(weight.numel() for weight in decoder.parameters())
    return 0


def _largest_batch(source: FolderSource) -> tuple[int, int]:
    """The captions and the words of the batch with most words; 0 where only some batches are trained on."""
    training = source.config.training
    if training.overfit_batches or training.limit_train_batches:
        return 0, 0
    of_length = np.bincount(source.captions["train"].lengths)
    captions = np.minimum(of_length, training.batch_size) // get_ranks().size
    longest = int(np.argmax(captions * np.arange(len(captions))))
    return int(captions[longest]), int(captions[longest]) * longest


def _pixels(source: Source) -> int:
    """Numbers of a picture as the encoder takes it."""
    return sum(3 * one.size**2 for one in source.encoder.weights.transform.parts)


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.resolve().parents) if path.is_dir())
