"""Captions for pictures from a checkpoint or a pack alone: what `predict.py`, the gallery and a notebook use.

    captioner = showtell.load("runs/demo/STAMP")
    print(captioner)
    for found in captioner.caption(["dog.jpg", "cat.jpg"]):
        print(found.path, found.captions)

The checkpoint brings configuration, vocabulary, transform and the decoder's weights. The encoder is built by name;
public weights are found or fetched again and compared by hash, others lie beside the checkpoint as `encoder.pt`, and a
pack holds all that do not install with Showtell;
blocks that were fine-tuned then take their weights from the checkpoint.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from showtell.checkpointing.stored import StoredModel, load_model
from showtell.config import Config, ConfigError, DecodingConfig, restore
from showtell.data.images import PictureLike, pixels_of, prepare
from showtell.data.workers import watched
from showtell.decoding import Hypothesis, State, StepFunction, decode, ensemble_step
from showtell.models.decoders.base import Decoder, attention_maps
from showtell.models.encoders.base import Encoder
from showtell.models.encoders.encoding import FastEncoder
from showtell.models.encoders.pair import in_words, pixels_in_words
from showtell.models.precision import decoding_precision, encoding_precision
from showtell.prediction.building import best_score, stored_decoder, stored_encoder
from showtell.prediction.pictures import Look, Pictures, as_list, looks_at
from showtell.text import Vocabulary, tokenizer_of

if TYPE_CHECKING:
    from showtell.models.module import CaptionModule


@dataclass(frozen=True)
class Captioned:
    """A picture and what became of it: its n-best captions, best first, or the reason why there are none.

    Attributes:
        path: the picture's, or a name such as `picture 2` where it came without one.
        captions: as text.
        hypotheses: the same as tokens with their log-probabilities.
        words: the same word by word, punctuation marks included.
        error: why there are none.
        picture: as it was given.
    """

    path: Path
    captions: tuple[str, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    words: tuple[tuple[str, ...], ...] = ()
    error: str | None = None
    picture: PictureLike = field(default=b"", repr=False, compare=False)


class PictureCaptioner(ABC):
    """What captions picture files: one model, or several as one.

    Attributes:
        vocabulary: what the tokens mean.
        configs: of the training runs; captions are read off as the first one says.
        device, precision: where decoders compute, and in what: float32, or bfloat16 where that is safe.
    """

    vocabulary: Vocabulary
    configs: Sequence[Config]
    device: torch.device
    precision: str

    @abstractmethod
    def looks(self, views: int = 1, seed: int = 0) -> list[Look]:
        """What is made of each picture before it is encoded: for each model as many looks as views are wanted."""

    @abstractmethod
    def encode(self, pixels: Sequence[Tensor]) -> list[Tensor]:
        """Features of normalized pixels `(B, 3, S, S)`, one tensor per entry of `looks`."""

    @abstractmethod
    def start(self, features: Sequence[Tensor]) -> tuple[StepFunction, State]:
        """What decoding needs once the pictures are seen, of features as `encode` gives them."""

    @property
    def attends(self) -> bool:
        """Whether `look` has something to show."""
        return False

    def look(self, captioned: Captioned, rank: int = 0) -> NDArray[np.float32] | None:
        """Where the model looked for each word of the best caption, `(words, rows, columns)`; None: it does not.

        A `rank` of 1 asks for the second best caption, and so on.
        """
        return None

    def maps(
        self, features: Sequence[Tensor], captions: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[Tensor | None]]:
        """The same for features as `encode` gives them and the tokens of some captions of each picture."""
        return [[None] * len(some) for some in captions]

    def caption(
        self,
        pictures: PictureLike | Iterable[PictureLike],
        decoding: DecodingConfig | None = None,
        batch_size: int = 16,
        num_workers: int = 0,
        generator: torch.Generator | None = None,
        views: int = 1,
        seed: int = 0,
    ) -> list[Captioned]:
        """Captions pictures, a list of results in their order, also for a single picture.

        A picture that cannot be read gets an error instead of captions, and the rest goes on.

        Args:
            pictures: one or several of: a path, a file's content as bytes, a PIL picture, a uint8 array `(H, W, 3)` of
                RGB, `(H, W, 4)` with transparency, or `(H, W)` of gray. An array `(B, H, W, 3)` is several pictures.
            decoding: how captions are read off; as in training when None.
            batch_size: pictures at a time.
            num_workers: processes that read the pictures; 0: this one.
            generator: where sampling takes its random numbers; torch's global one when None.
            views: in each step the mean of the word probabilities over so many views of the picture: as it is, and
                changed as much as `data.augment` changed training pictures. It takes as many times as long.
            seed: of the changes.
        """
        looks = self.looks(views, seed)
        return list(self.stream(as_list(pictures), decoding, batch_size, num_workers, generator, looks))

    def stream(
        self,
        pictures: Sequence[PictureLike],
        decoding: DecodingConfig | None,
        batch_size: int,
        num_workers: int,
        generator: torch.Generator | None = None,
        looks: Sequence[Look] = (),
    ) -> Iterator[Captioned]:
        """Like `caption`, batch by batch, in the order of the pictures; without workers this process reads them."""
        looks = looks or self.looks()
        distinct = list(dict.fromkeys(looks))
        files = Pictures(pictures, distinct)
        load: Any = partial(watched, num_workers=num_workers) if num_workers else DataLoader
        for batch in load(files, batch_size=batch_size, collate_fn=list):
            readable = [pixels for _, pixels, _ in batch if pixels is not None]
            seen = dict(zip(distinct, map(torch.stack, zip(*readable, strict=True)), strict=False))
            hypotheses = iter(
                self.decode(self.encode([seen[look] for look in looks]), decoding, generator) if readable else []
            )
            for place, pixels, error in batch:
                path, picture = files.names[place], pictures[place]
                if pixels is None:
                    yield Captioned(path, error=error, picture=picture)
                else:
                    yield captioned_as(next(hypotheses), self.vocabulary, path, picture)

    @torch.inference_mode()
    def decode(
        self, features: Sequence[Tensor], config: DecodingConfig | None = None, generator: torch.Generator | None = None
    ) -> list[list[Hypothesis]]:
        """The n-best hypotheses for features as `encode` gives them."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            step, state = self.start(features)
            return decode(step, state, config or self.configs[0].decoding, generator)


class Captioner(PictureCaptioner):
    """A trained model, with vocabulary and configuration of its run; `device=auto` is a GPU where there is one.

    `precision` is the decoder's: `auto` is bfloat16 where it was trained in that and the device computes it fast.
    `print` tells what it is; `file` is the checkpoint that it came from.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        vocabulary: Vocabulary,
        config: Config,
        device: str = "auto",
        file: Path | None = None,
        precision: str = "auto",
    ) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("--device cuda: this machine has no usable GPU; use --device cpu or auto")
        place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        self.device, self.precision = place, decoding_precision(precision, config.device.precision, place)
        self.encoder = FastEncoder(encoder, place, encoding_precision(config.features.precision, place))
        self.decoder = decoder.to(place).eval()
        self.stepper = self.decoder.stepper()
        self.vocabulary = vocabulary
        self.configs = [config]
        self.transform = encoder.transform
        self.file = file
        self.best = ""  # its score, where that is known
        self.watcher: Callable[[Tensor], object] | None = None  # sees the features of what is captioned

    def __str__(self) -> str:
        (config,), shape = self.configs, self.encoder.feature_shape
        seen = f"{shape[0]} regions of {shape[1]} numbers" if len(shape) == 2 else f"{shape[0]} numbers"
        weights = sum(parameter.numel() for parameter in self.decoder.parameters())
        lines = {
            "encoder": f"{in_words(config.encoder)}, pictures of {pixels_in_words(self.transform)} to {seen}",
            "decoder": f"{config.decoder.name}, {weights:,} parameters",
            "words": f"{len(self.vocabulary):,}",
            "data": config.data.name,
            "decoding": config.decoding.method,
            "best": self.best,
            "device": f"{self.device}, decoder in {self.precision}",
        }
        return "\n".join([f"Captioner of {self.file or 'a module'}", *(f"  {k:<9} {v}" for k, v in lines.items() if v)])

    @classmethod
    def from_checkpoint(cls, path: str | Path, device: str = "auto", precision: str = "auto") -> "Captioner":
        """Loads a checkpoint or a pack; of a run directory the best checkpoint.

        Raises:
            CheckpointError: no intact one of Showtell's.
            WeightsError: the frozen encoder's weights cannot be had.
        """
        stored = load_model(Path(path))
        return cls.of(stored, stored_encoder(stored), device, precision)

    @classmethod
    def of(cls, stored: StoredModel, encoder: Encoder, device: str = "auto", precision: str = "auto") -> "Captioner":
        """The captioner of a file that is open, and its encoder; errors as `from_checkpoint`."""
        config = restore(stored.metadata["config"])
        vocabulary = Vocabulary(stored.metadata["vocabulary"], tokenizer_of(config.vocab, stored.metadata["tokenizer"]))
        decoder = stored_decoder(stored, config)
        captioner = cls(encoder, decoder, vocabulary, config, device, stored.path, precision)
        captioner.best = str(stored.metadata.get("best"))[:200] if stored.is_packed else best_score(stored.path)
        return captioner

    @classmethod
    def from_module(cls, module: "CaptionModule", device: str = "auto") -> "Captioner":
        """Captions with what a module has learnt so far: a copy, of its moving averages where it keeps them."""
        described = module.metadata.get("config")
        config = restore(described) if described else replace(Config(), decoding=module.decoding_config)
        decoder = copy.deepcopy(module.inference_decoder)  # which is put into evaluation mode
        return cls(module.inference_encoder(), decoder, module.vocabulary, config, device)

    def looks(self, views: int = 1, seed: int = 0) -> list[Look]:
        """See `PictureCaptioner`."""
        return looks_at(self.transform, self.configs[0].data.augment, views, seed)

    def encode(self, pixels: Sequence[Tensor]) -> list[Tensor]:
        """See `PictureCaptioner`."""
        features = [self.encoder(one) for one in pixels]
        if self.watcher:
            self.watcher(features[0])  # of the picture as it is
        return features

    def start(self, features: Sequence[Tensor]) -> tuple[StepFunction, State]:
        """The decoder's step, and its state after the picture; of several looks, their states side by side."""
        step, states = self.stepper, [self.decoder.initial_state(one) for one in features]
        return ensemble_step([step] * len(states), states) if len(states) > 1 else (step, states[0])

    @property
    def attends(self) -> bool:
        """Whether the decoder does."""
        return self.decoder.attends

    @torch.inference_mode()
    def look(self, captioned: Captioned, rank: int = 0) -> NDArray[np.float32] | None:
        """See `PictureCaptioner`. The unchanged picture is encoded anew, so that captioning need not keep regions."""
        if not self.attends:
            return None
        pixels = prepare(pixels_of(captioned.picture), self.transform).unsqueeze(0)
        ((weights,),) = self.maps([self.encoder(pixels)], [[captioned.hypotheses[rank].tokens]])
        assert weights is not None
        return weights.numpy()

    @torch.inference_mode()
    def maps(
        self, features: Sequence[Tensor], captions: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[Tensor | None]]:
        """See `PictureCaptioner`."""
        if not self.attends:
            return super().maps(features, captions)
        rows = [row for row, some in enumerate(captions) for _ in some]
        weights = iter(attention_maps(self.decoder, features[0][rows], [one for some in captions for one in some]))
        return [[next(weights) for _ in some] for some in captions]


def captioned_as(
    hypotheses: Sequence[Hypothesis], vocabulary: Vocabulary, path: Path = Path(), picture: PictureLike = b""
) -> Captioned:
    """What these captions of a picture are in words."""
    captions = tuple(vocabulary.decode(found.tokens) for found in hypotheses)
    words = tuple(tuple(vocabulary.words[token] for token in found.tokens) for found in hypotheses)
    return Captioned(path, captions, tuple(hypotheses), words, picture=picture)
