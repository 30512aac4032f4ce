"""Several models as one: in each step of any decoding, the mean of their word probabilities."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from showtell.config import ConfigError
from showtell.decoding import State, StepFunction, ensemble_step
from showtell.prediction.captioner import Captioner, PictureCaptioner
from showtell.prediction.pictures import Look


class Ensemble(PictureCaptioner):
    """Several models as one: in each step of any decoding, the mean of their word probabilities.

    Members may differ in encoder, decoder and picture transform, not in vocabulary. A picture file is decoded once and
    looked at once per distinct look. Names are for messages.

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
        self.device = first.device
        precisions = {member.precision for member in self.members}
        self.precision = precisions.pop() if len(precisions) == 1 else "float32"

    def looks(self, views: int = 1, seed: int = 0) -> list[Look]:
        """Those of one member after the other."""
        return [look for member in self.members for look in member.looks(views, seed)]

    def encode(self, pixels: Sequence[Tensor]) -> list[Tensor]:
        """See `PictureCaptioner`."""
        return [one for member, own in self._shares(pixels) for one in member.encode(own)]

    def start(self, features: Sequence[Tensor]) -> tuple[StepFunction, State]:
        """The members' steps as one, over their states side by side."""
        parts = [member.start(own) for member, own in self._shares(features)]
        return ensemble_step([step for step, _ in parts], [state for _, state in parts])

    def _shares(self, looks: Sequence[Tensor]) -> Iterator[tuple[Captioner, Sequence[Tensor]]]:
        """Each member with what is its own."""
        views = len(looks) // len(self.members)
        for place, member in enumerate(self.members):
            yield member, looks[place * views : (place + 1) * views]
