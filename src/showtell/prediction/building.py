"""A stored model's encoder and decoder, built from what a checkpoint or a pack holds.

What a pack says of itself is compared with the weights in it before anything is built: a few bytes of settings may ask
for networks of any size, but not for more numbers than came with them.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from showtell.checkpointing.archive import CheckpointError
from showtell.checkpointing.metadata import check_weights, files_of, load_weights
from showtell.checkpointing.stored import StoredModel
from showtell.config import Config, EncoderConfig, ImageTransform, restore
from showtell.config.registry import find
from showtell.models.decoders.base import Decoder, build_decoder
from showtell.models.encoders.base import Encoder, build_encoder, find_backbone
from showtell.models.encoders.encoding import installs_with_showtell, recorded_weights
from showtell.models.encoders.finetuning import finetuned_blocks
from showtell.models.encoders.pair import parts_of
from showtell.models.encoders.weights import EncoderWeights
from showtell.run import Run


def stored_encoder(stored: StoredModel) -> Encoder:
    """The encoder, with the weights of its fine-tuned blocks.

    Raises:
        CheckpointError: the weights do not fit what the file says.
        WeightsError: they cannot be had.
    """
    config = restore(stored.metadata["config"]).encoder
    encoder = build_encoder(config, _weights(stored, config))
    if config.finetune_blocks:
        load_weights(finetuned_blocks(encoder, config.finetune_blocks), stored.finetuned, stored.path)
    return encoder


def stored_decoder(stored: StoredModel, config: Config) -> Decoder:
    """The decoder; errors as `stored_encoder`."""
    shape, words = tuple(stored.metadata["feature_shape"]), len(stored.metadata["vocabulary"])
    facts = config.decoder, shape, words, files_of(stored.metadata)
    if stored.is_packed and find("decoder", config.decoder.name).origin is None:
        with torch.device("meta"):  # shapes alone, which take no memory
            check_weights(build_decoder(*facts), _shapes(stored.decoder), stored.path)
    decoder = build_decoder(*facts)
    load_weights(decoder, stored.decoder, stored.path)
    return decoder


def best_score(file: Path) -> str:
    """`val/cider 0.947 after epoch 3` of a run's best checkpoint; empty where that is not known."""
    run = Run(file.parent.parent)
    status = run.stage_status() if file == run.best else None
    if status is None or status.best is None:
        return ""
    return f"{status.monitor} {status.best:.3f} after epoch {status.best_epoch}"


def _weights(stored: StoredModel, config: EncoderConfig) -> EncoderWeights:
    """Where the encoder's weights are: in a pack, beside a checkpoint, or wherever public ones lie."""
    sha256, public = stored.metadata["encoder"]["sha256"], stored.metadata["encoder"]["public"]
    transform = ImageTransform.of(stored.metadata["transform"])
    if stored.encoder is not None:
        _check_encoder_size(stored.encoder, config, stored.path)
        return EncoderWeights(None, sha256, transform, public, travelled=True, state=stored.encoder)
    if stored.is_packed and not (public and installs_with_showtell(config)):
        told = "its encoder's weights are not in it, and do not install with Showtell"
        raise CheckpointError(f"{stored.path}: {told}; make the pack anew by predict.py RUN --pack FILE.zip")
    return recorded_weights(config, sha256, public, transform, stored.path.parent)


def _check_encoder_size(weights: Mapping[str, Tensor], config: EncoderConfig, path: Path) -> None:
    with torch.device("meta"):
        trunks = [
            find_backbone(one).build_seeded().trunk
            for one in parts_of(config)
            if find("encoder", one.name).origin is None
        ]
    wanted = sum(value.numel() for trunk in trunks for value in trunk.state_dict().values())
    if wanted > (given := sum(value.numel() for value in weights.values())):
        raise CheckpointError(
            f"{path}: its encoder {config.name} has {wanted:,} weights, and {given:,} are there; "
            "get the pack anew, or make it by predict.py RUN --pack FILE.zip"
        )


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in weights.items()}
