"""CLIPScore and RefCLIPScore (Hessel et al., 2021, arXiv 2104.08718): how well a caption fits its picture, by CLIP.

CLIPScore is 2.5 times the cosine of picture and caption, at least 0. RefCLIPScore is the harmonic mean of that and the
cosine of the caption with the closest reference, at least 0. As in the authors' program "A photo depicts " stands
before captions and references. open_clip (the `clip` extra) brings networks and transforms; theirs is
`ViT-B-32-quickgelu/openai`. Scores of two networks do not compare, so its name stands in the signature.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showtell.evaluation.metric import Candidates, Metric, MetricScores, Pictures, UnavailableError
from showtell.evaluation.sums import Sums, mean

PROMPT = "A photo depicts "
WEIGHT = 2.5
_BATCH = 32

Floats = NDArray[np.float64]


class ClipScore(Metric):
    """Both scores, by one network."""

    names = MappingProxyType({"clipscore": "CLIPScore", "refclipscore": "RefCLIPScore"})
    looks_at_pictures = True

    def score(self, candidates: Candidates) -> MetricScores:
        """See `Metric.score`."""
        pictures = self.references.pictures
        if pictures is None:
            raise UnavailableError(
                "it looks at the pictures: predict.py --metrics clipscore, or showtell.score with --images DIR"
            )
        network = _Clip(pictures)
        ids = self.references.picture_ids
        seen, said = network.pictures(ids), network.captions(candidates.texts)
        texts = [text for picture in ids for text in self.references.texts[picture]]
        clip, ref = clip_scores(seen, said, network.captions(texts), self.references.first)
        sums = Sums([*self.names], np.column_stack([clip, ref, np.ones(len(ids))]), mean)
        found = {"clipscore": clip, "refclipscore": ref}
        return MetricScores({name: float(values.mean()) for name, values in found.items()}, found, sums)


def clip_scores(
    pictures: Floats, captions: Floats, references: Floats, first: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """CLIPScore and RefCLIPScore of P pictures, `(P,)` each.

    Args:
        pictures: `(P, D)` unit vectors of the pictures.
        captions: `(P, D)` of their captions.
        references: `(N, D)` of all references.
        first: `(P + 1,)`; picture `p` has references `first[p]` to `first[p + 1] - 1`.
    """
    clip = WEIGHT * np.maximum(np.sum(pictures * captions, axis=1), 0)
    cosines = np.sum(references * np.repeat(captions, np.diff(first), axis=0), axis=1)
    closest = np.maximum(np.maximum.reduceat(cosines, first[:-1]), 0)
    both = clip + closest
    return clip, np.divide(2 * clip * closest, both, out=np.zeros_like(both), where=both > 0)


class _Clip:
    """A network of open_clip: by `NAME/WEIGHTS`, or from a folder as open_clip writes it."""

    def __init__(self, pictures: Pictures) -> None:
        try:
            import open_clip
        except ModuleNotFoundError:
            raise UnavailableError("open_clip is not installed; `pip install '.[clip]'` brings it") from None
        model, load = pictures.model, pictures.load
        name, _, weights = model.rpartition("/")
        where = ("local-dir:" + model, None) if Path(model).is_dir() else (name, weights)
        try:
            self._network, _, self._transform = open_clip.create_model_and_transforms(where[0], pretrained=where[1])
            self._tokenize = open_clip.get_tokenizer(where[0])
        except (OSError, RuntimeError, ValueError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
            raise UnavailableError(
                f"no weights of {model} ({reason}); name a folder that holds open_clip_config.json and weights by "
                "--clip-model, or connect to the network once"
            ) from None
        self._network.eval()
        self._load = load

    def pictures(self, ids: Sequence[int]) -> Floats:
        """`(P, D)` unit vectors."""
        from PIL import Image

        def vectors(some: Sequence[int]) -> Any:
            import torch

            inputs = torch.stack([self._transform(Image.fromarray(self._load(picture))) for picture in some])
            return self._network.encode_image(inputs, normalize=True)

        return _in_batches(ids, vectors)

    def captions(self, texts: Iterable[str]) -> Floats:
        """`(N, D)` unit vectors."""
        prompts = [PROMPT + text for text in texts]
        return _in_batches(prompts, lambda some: self._network.encode_text(self._tokenize(list(some)), normalize=True))


def _in_batches(items: Sequence[Any], vectors: Callable[[Sequence[Any]], Any]) -> Floats:
    import torch

    with torch.inference_mode():
        found = [vectors(items[start : start + _BATCH]) for start in range(0, len(items), _BATCH)]
        return np.asarray(torch.cat(found).double().numpy())
