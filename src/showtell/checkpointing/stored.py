"""A trained model as a file holds it, a checkpoint or a pack: checked, and not built yet."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from showtell.checkpointing.io import FORMAT_VERSION, STAMP, checkpoint_file, load_checkpoint
from showtell.checkpointing.metadata import checked_metadata, finetuned_weights, inference_weights
from showtell.checkpointing.pack import is_pack, read_pack


@dataclass(frozen=True)
class StoredModel:
    """What is needed to build a captioner.

    Attributes:
        path: of the file.
        metadata: `config`, `vocabulary`, `encoder`, `transform`, `feature_shape`, ...; checked.
        decoder: its weights.
        finetuned: those of fine-tuned blocks of the encoder; empty where it was frozen.
        encoder: all weights of the encoder; None where they are not in the file.
    """

    path: Path
    metadata: dict[str, Any]
    decoder: dict[str, Tensor]
    finetuned: dict[str, Tensor]
    encoder: dict[str, Tensor] | None = None

    @property
    def is_packed(self) -> bool:
        """Whether it is a pack."""
        return is_pack(self.path)


def load_model(path: Path) -> StoredModel:
    """Opens a pack or a checkpoint; of a run directory its best one.

    Raises:
        CheckpointError: neither, or not intact.
        ConfigError: a plugin is missing that it was written with.
    """
    path, encoder = checkpoint_file(path), None
    if is_pack(path):
        about, state, encoder = read_pack(path)
        content = {STAMP: {**about, "format": FORMAT_VERSION}, "state_dict": state}
    else:
        content = load_checkpoint(path)
    metadata, state = checked_metadata(content, path, model_only=True), content["state_dict"]
    return StoredModel(path, metadata, inference_weights(state), finetuned_weights(state), encoder)
