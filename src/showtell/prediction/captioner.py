"""Captions for pictures from a checkpoint file alone: what `predict.py`, the gallery and a notebook use.

    captioner = showtell.load("runs/demo/STAMP")
    captioner.caption(["dog.jpg", "cat.jpg"])

The checkpoint brings configuration, vocabulary, transform and the decoder's weights. The encoder is built by name;
public weights are found or fetched again and compared by hash, others lie beside the checkpoint as `encoder.pt`;
blocks that were fine-tuned then take their weights from the checkpoint.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from showtell.checkpointing.io import checkpoint_file, load_checkpoint
from showtell.checkpointing.metadata import checked_metadata, finetuned_weights, inference_weights, load_weights
from showtell.config import Config, ConfigError, DecodingConfig, ImageTransform, restore
from showtell.data.images import PictureError, prepare, read_picture
from showtell.data.workers import note_reading, watched
from showtell.decoding import Hypothesis, State, StepFunction, decode, ensemble_step
from showtell.models.decoders.base import Decoder, attention_maps, build_decoder
from showtell.models.encoders.base import Encoder, build_encoder
from showtell.models.encoders.encoding import FastEncoder, encoding_precision, recorded_weights
from showtell.models.encoders.finetuning import finetuned_blocks
from showtell.models.module import CaptionModule
from showtell.text import Vocabulary, build_tokenizer


@dataclass(frozen=True)
class Captioned:
    """A picture and what became of it: its n-best captions, best first, or the reason why there are none.

    Attributes:
        path: the picture.
        captions: as text.
        hypotheses: the same as tokens with their log-probabilities.
        words: the same word by word, punctuation marks included.
        error: why there are none.
    """

    path: Path
    captions: tuple[str, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    words: tuple[tuple[str, ...], ...] = ()
    error: str | None = None


class PictureCaptioner(ABC):
    """What captions picture files: one model, or several as one.

    Attributes:
        vocabulary: what the tokens mean.
        configs: of the training runs; captions are read off as the first one says.
        transforms: what is made of each picture before it is encoded.
    """

    vocabulary: Vocabulary
    configs: Sequence[Config]
    transforms: Sequence[ImageTransform]

    @abstractmethod
    def start(self, pixels: Sequence[Tensor]) -> tuple[StepFunction, State]:
        """What decoding needs once normalized pixels `(B, 3, S, S)` are seen, one tensor per entry of `transforms`."""

    @property
    def attends(self) -> bool:
        """Whether `look` has something to show."""
        return False

    def look(self, captioned: Captioned) -> NDArray[np.float32] | None:
        """Where the model looked for each word of the best caption, `(words, rows, columns)`; None: it does not."""
        return None

    def caption(
        self,
        pictures: Iterable[str | Path],
        decoding: DecodingConfig | None = None,
        batch_size: int = 16,
        num_workers: int = 0,
        generator: torch.Generator | None = None,
    ) -> list[Captioned]:
        """Captions pictures; one that cannot be read gets an error instead of captions, and the rest goes on.

        `generator` is where sampling takes its random numbers; torch's global one when None.
        """
        paths = [Path(picture) for picture in pictures]
        return list(self.stream(paths, decoding, batch_size, num_workers, generator))

    def stream(
        self,
        pictures: Sequence[Path],
        decoding: DecodingConfig | None,
        batch_size: int,
        num_workers: int,
        generator: torch.Generator | None = None,
    ) -> Iterator[Captioned]:
        """Like `caption`, batch by batch, in the order of the pictures; without workers this process reads them."""
        files: Any = PictureFiles(pictures, self.transforms)
        load: Any = partial(watched, num_workers=num_workers) if num_workers else DataLoader
        for batch in load(files, batch_size=batch_size, collate_fn=list):
            readable = [pixels for _, pixels, _ in batch if pixels is not None]
            per_transform = [torch.stack(part) for part in zip(*readable, strict=True)]
            hypotheses = iter(self.decode(per_transform, decoding, generator) if readable else [])
            for path, pixels, error in batch:
                if pixels is None:
                    yield Captioned(path, error=error)
                else:
                    yield _captioned(path, next(hypotheses), self.vocabulary)

    @torch.inference_mode()
    def decode(
        self, pixels: Sequence[Tensor], decoding: DecodingConfig | None = None, generator: torch.Generator | None = None
    ) -> list[list[Hypothesis]]:
        """The n-best hypotheses for pixels as `start` takes them."""
        step, state = self.start(pixels)
        return decode(step, state, decoding or self.configs[0].decoding, generator)


class Captioner(PictureCaptioner):
    """A trained model, with vocabulary and configuration of its run; `device=auto` is a GPU where there is one."""

    def __init__(
        self, encoder: Encoder, decoder: Decoder, vocabulary: Vocabulary, config: Config, device: str = "auto"
    ) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("--device cuda: this machine has no usable GPU; use --device cpu or auto")
        place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        self.encoder = FastEncoder(encoder, place, encoding_precision(config.features.precision, place))
        self.decoder = decoder.to(place).eval()
        self.vocabulary = vocabulary
        self.configs = [config]
        self.transforms = [encoder.transform]

    @classmethod
    def from_checkpoint(cls, path: str | Path, device: str = "auto") -> "Captioner":
        """Loads a checkpoint; of a run directory the best one.

        Raises:
            CheckpointError: no intact checkpoint of Showtell's.
            WeightsError: the frozen encoder's weights cannot be had.
        """
        path = checkpoint_file(Path(path))
        checkpoint = load_checkpoint(path)
        metadata = checked_metadata(checkpoint, path, model_only=True)
        config = restore(metadata["config"])
        vocabulary = Vocabulary(metadata["vocabulary"], build_tokenizer(config.vocab.tokenizer))
        identity, transform = metadata["encoder"], ImageTransform(**metadata["transform"])
        weights = recorded_weights(config.encoder, identity["sha256"], identity["public"], transform, path.parent)
        encoder = build_encoder(config.encoder, weights)
        if count := config.encoder.finetune_blocks:
            load_weights(finetuned_blocks(encoder, count), finetuned_weights(checkpoint["state_dict"]), path)
        decoder = build_decoder(config.decoder, tuple(metadata["feature_shape"]), len(vocabulary))
        load_weights(decoder, inference_weights(checkpoint["state_dict"]), path)
        return cls(encoder, decoder, vocabulary, config, device)

    @classmethod
    def from_module(cls, module: CaptionModule, device: str = "auto") -> "Captioner":
        """Captions with what a module has learnt so far: a copy, of its moving averages where it keeps them."""
        described = module.metadata.get("config")
        config = restore(described) if described else replace(Config(), decoding=module.decoding_config)
        decoder = copy.deepcopy(module.inference_decoder)  # which is put into evaluation mode
        return cls(module.inference_encoder(), decoder, module.vocabulary, config, device)

    def start(self, pixels: Sequence[Tensor]) -> tuple[StepFunction, State]:
        """The decoder's step, and its state after the picture."""
        return self.decoder.step, self.decoder.initial_state(self.encoder(pixels[0]))

    @property
    def attends(self) -> bool:
        """Whether the decoder does."""
        return self.decoder.attends

    @torch.inference_mode()
    def look(self, captioned: Captioned) -> NDArray[np.float32] | None:
        """See `PictureCaptioner`. The picture is encoded anew, so that captioning need not keep regions."""
        if not self.attends:
            return None
        pixels = prepare(read_picture(captioned.path), self.transforms[0]).unsqueeze(0)
        return attention_maps(self.decoder, self.encoder(pixels), [captioned.hypotheses[0].tokens])[0].numpy()


class Ensemble(PictureCaptioner):
    """Several models as one: in each step of any decoding, the mean of their word probabilities.

    Members may differ in encoder, decoder and picture transform, not in vocabulary. A picture file is decoded once and
    transformed once per distinct transform. Names are for messages.

    Raises:
        ConfigError: the tokenizers or the vocabularies differ; one line.
    """

    def __init__(self, members: Sequence[tuple[str, Captioner]]) -> None:
        (first_name, first), *others = members
        for name, other in others:
            ours, theirs = (one.vocabulary.tokenizer.name for one in (other, first))
            if ours != theirs:
                raise ConfigError(
                    f"{name} was trained with vocab.tokenizer={ours}, {first_name} with {theirs}: their words "
                    "cannot be averaged; give models of one tokenizer, or add --gallery to compare them"
                )
            if other.vocabulary.words != first.vocabulary.words:
                sizes = f"{len(other.vocabulary)} words, the other {len(first.vocabulary)}"
                raise ConfigError(
                    f"{name} and {first_name} have different vocabularies ({sizes}); "
                    "average checkpoints of one data set and vocab.threshold, or compare them by --gallery FILE alone"
                )
        self.members = [captioner for _, captioner in members]
        self.vocabulary = first.vocabulary
        self.configs = [config for member in self.members for config in member.configs]
        self.transforms = list(dict.fromkeys(member.transforms[0] for member in self.members))

    def start(self, pixels: Sequence[Tensor]) -> tuple[StepFunction, State]:
        """The members' steps as one, over their states side by side."""
        places = [self.transforms.index(member.transforms[0]) for member in self.members]
        parts = [member.start([pixels[place]]) for place, member in zip(places, self.members, strict=True)]
        return ensemble_step([step for step, _ in parts], [state for _, state in parts])


class PictureFiles:
    """Decodes picture files where the loader's workers can do it; each once, whatever the number of transforms."""

    def __init__(self, paths: Sequence[Path], transforms: Sequence[ImageTransform]) -> None:
        self.paths = paths
        self.transforms = transforms

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[Path, list[Tensor] | None, str | None]:
        note_reading(self.paths[i])
        try:
            picture = read_picture(self.paths[i])
        except PictureError as error:
            return self.paths[i], None, str(error)
        return self.paths[i], [prepare(picture, transform) for transform in self.transforms], None


def _captioned(path: Path, hypotheses: Sequence[Hypothesis], vocabulary: Vocabulary) -> Captioned:
    captions = tuple(vocabulary.decode(found.tokens) for found in hypotheses)
    words = tuple(tuple(vocabulary.words[token] for token in found.tokens) for found in hypotheses)
    return Captioned(path, captions, tuple(hypotheses), words)
