"""Captions for pictures from a checkpoint file alone: what `predict.py`, the gallery and a notebook use.

    captioner = Captioner.from_checkpoint("runs/demo/STAMP/checkpoints/best.ckpt")
    captioner.caption(["dog.jpg", "cat.jpg"])

The checkpoint brings configuration, vocabulary, transform and the decoder's weights. The encoder is built by name;
public weights are found or fetched again and compared by hash, others lie beside the checkpoint as `encoder.pt`;
blocks that were fine-tuned then take their weights from the checkpoint.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from showtell.checkpointing.card import checked_card, load_weights
from showtell.checkpointing.io import load_checkpoint
from showtell.config import Config, DecodingConfig, ImageTransform, restore
from showtell.data.images import PictureError, prepare, read_picture
from showtell.decoding import Hypothesis, State, decode
from showtell.initial import finetuned_weights, inference_weights
from showtell.models.decoders.base import Decoder, attention_maps, build_decoder
from showtell.models.encoder import LazyEncoder
from showtell.models.encoding import FastEncoder, encoding_precision
from showtell.models.finetuning import finetuned_blocks
from showtell.models.weights import recorded_weights
from showtell.vocabulary import Vocabulary

Answer = Callable[[list[Tensor]], list[list[Hypothesis]]]


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


class Captioner:
    """A trained model that captions picture files.

    Args:
        decoder: the trained decoder, in evaluation mode.
        encoder: what turns pixels into features.
        vocabulary: of the training run.
        transform: from picture to pixels.
        config: of the training run.
    """

    def __init__(
        self,
        decoder: Decoder,
        encoder: FastEncoder,
        vocabulary: Vocabulary,
        transform: ImageTransform,
        config: Config,
    ) -> None:
        self.decoder = decoder
        self.encoder = encoder
        self.vocabulary = vocabulary
        self.transform = transform
        self.config = config

    @classmethod
    def from_checkpoint(cls, path: str | Path, device: str = "auto") -> "Captioner":
        """Loads a checkpoint, on a GPU where there is one and `device` is `auto`.

        Raises:
            CheckpointError: no intact checkpoint of Showtell's.
            WeightsError: the frozen encoder's weights cannot be had.
        """
        checkpoint = load_checkpoint(path)
        card = checked_card(checkpoint, path)
        config = restore(card["config"])
        place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        transform = ImageTransform(**card["transform"])
        sha256, public = card["encoder"]["sha256"], card["encoder"]["public"]
        weights = recorded_weights(config.encoder, sha256, public, transform, Path(path).parent)
        encoder = LazyEncoder(config.encoder, weights).network
        if count := config.encoder.finetune_blocks:
            load_weights(finetuned_blocks(encoder, count), finetuned_weights(checkpoint["state_dict"]), path)
        vocabulary = Vocabulary(card["vocabulary"])
        decoder = build_decoder(config.decoder, tuple(card["feature_shape"]), len(vocabulary))
        load_weights(decoder, inference_weights(checkpoint["state_dict"]), path)
        precision = encoding_precision(config.features.precision, place)
        fast = FastEncoder(encoder, place, precision)
        return cls(decoder.to(place).eval(), fast, vocabulary, transform, config)

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
        """Like `caption`, batch by batch, in the order of the pictures."""
        files = PictureFiles(pictures, [self.transform])
        answer: Answer = lambda pixels: self.decode(pixels[0], decoding, generator)  # noqa: E731
        return caption_files(files, answer, self.vocabulary, batch_size, num_workers)

    @torch.inference_mode()
    def decode(
        self, pixels: Tensor, decoding: DecodingConfig | None = None, generator: torch.Generator | None = None
    ) -> list[list[Hypothesis]]:
        """The n-best hypotheses for normalized pixels `(B, 3, S, S)`."""
        return decode(self.decoder.step, self.state(pixels), decoding or self.config.decoding, generator)

    @property
    def attends(self) -> bool:
        """Whether `look` has something to show."""
        return self.decoder.attends

    @torch.inference_mode()
    def look(self, captioned: Captioned) -> NDArray[np.float32] | None:
        """Where the model looked for each word of the best caption, `(words, rows, columns)`.

        None for a decoder without attention. The picture is encoded anew, so that captioning need not keep regions.
        """
        pixels = prepare(read_picture(captioned.path), self.transform).unsqueeze(0)
        maps = attention_maps(self.decoder, self.encoder(pixels), [captioned.hypotheses[0].tokens])
        return maps[0].numpy() if maps else None

    def state(self, pixels: Tensor) -> State:
        """What the decoder starts from once it has seen normalized pixels `(B, 3, S, S)`."""
        return self.decoder.initial_state(self.encoder(pixels))


class PictureFiles:
    """Decodes picture files where the loader's workers can do it; each once, whatever the number of transforms.

    Args:
        paths: the pictures.
        transforms: what is made of each of them.
    """

    def __init__(self, paths: Sequence[Path], transforms: Sequence[ImageTransform]) -> None:
        self.paths = paths
        self.transforms = transforms

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[Path, list[Tensor] | None, str | None]:
        try:
            picture = read_picture(self.paths[i])
        except PictureError as error:
            return self.paths[i], None, str(error)
        return self.paths[i], [prepare(picture, transform) for transform in self.transforms], None


def caption_files(
    files: PictureFiles, answer: Answer, vocabulary: Vocabulary, batch_size: int, num_workers: int
) -> Iterator[Captioned]:
    """Captions files batch by batch, in their order.

    Args:
        files: the pictures.
        answer: from one batch of pixels per transform to the hypotheses of each picture.
        vocabulary: what the tokens mean.
        batch_size: pictures per batch.
        num_workers: processes that decode pictures; 0: this one.
    """
    loader: DataLoader[Any] = DataLoader(
        files,  # type: ignore[arg-type]
        batch_size,
        num_workers=num_workers,
        collate_fn=list,
    )
    for batch in loader:
        readable = [pixels for _, pixels, _ in batch if pixels is not None]
        answers = iter(answer([torch.stack(part) for part in zip(*readable, strict=True)]) if readable else [])
        for path, pixels, error in batch:
            yield Captioned(path, error=error) if pixels is None else _captioned(path, next(answers), vocabulary)


def _captioned(path: Path, hypotheses: Sequence[Hypothesis], vocabulary: Vocabulary) -> Captioned:
    captions = tuple(vocabulary.decode(found.tokens) for found in hypotheses)
    words = tuple(tuple(vocabulary.words[token] for token in found.tokens) for found in hypotheses)
    return Captioned(path, captions, tuple(hypotheses), words)
