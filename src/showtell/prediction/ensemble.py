"""Several checkpoints as one captioner: in each step of any decoding, the mean of their word probabilities.

Members may differ in encoder, decoder and picture transform, not in vocabulary. A picture file is decoded once and
transformed once per distinct transform.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from showtell.config import Config, ConfigError, DecodingConfig
from showtell.decoding import Hypothesis, decode, ensemble_step
from showtell.inference import Captioned, Captioner, PictureFiles, caption_files


class Ensemble:
    """Captions picture files as `Captioner` does, by the mean of several.

    Args:
        members: their name (for messages) and themselves.

    Raises:
        ConfigError: the vocabularies differ; one line.
    """

    def __init__(self, members: Sequence[tuple[str, Captioner]]) -> None:
        (first_name, first), *others = members
        for name, other in others:
            if other.vocabulary.words != first.vocabulary.words:
                sizes = f"{len(other.vocabulary)} words, the other {len(first.vocabulary)}"
                raise ConfigError(
                    f"{name} and {first_name} have different vocabularies ({sizes}); "
                    "average checkpoints of one data set and vocab.threshold, or add --gallery to compare them"
                )
        self.members = [captioner for _, captioner in members]
        self.vocabulary = first.vocabulary
        self.transforms = list(dict.fromkeys(member.transform for member in self.members))

    @property
    def config(self) -> Config:
        """That of the first member, whose decoding the ensemble takes over."""
        return self.members[0].config

    def stream(
        self,
        pictures: Sequence[Path],
        decoding: DecodingConfig | None,
        batch_size: int,
        num_workers: int,
        generator: torch.Generator | None = None,
    ) -> Iterator[Captioned]:
        """As `Captioner.stream`."""
        files = PictureFiles(pictures, self.transforms)
        return caption_files(
            files, lambda pixels: self.decode(pixels, decoding, generator), self.vocabulary, batch_size, num_workers
        )

    @torch.inference_mode()
    def decode(
        self,
        pixels: Sequence[Tensor],
        decoding: DecodingConfig | None = None,
        generator: torch.Generator | None = None,
    ) -> list[list[Hypothesis]]:
        """The n-best hypotheses for normalized pixels `(B, 3, S, S)`, one tensor per entry of `transforms`."""
        states = [member.state(pixels[self.transforms.index(member.transform)]) for member in self.members]
        step, state = ensemble_step([member.decoder.step for member in self.members], states)
        return decode(step, state, decoding or self.config.decoding, generator)
