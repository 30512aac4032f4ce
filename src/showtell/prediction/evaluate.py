"""What captions of pictures are worth: here the checkpoints' training captions meet what `evaluation` measures."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from showtell.config import DataConfig
from showtell.config.registry import find
from showtell.data.formats import read_split
from showtell.data.images import picture_pixels
from showtell.errors import UserError
from showtell.evaluation.diversity import caption_forms, caption_variety
from showtell.evaluation.metric import CLIP_MODEL, Pictures
from showtell.evaluation.report import Evaluation, Forms, evaluate
from showtell.prediction.captioner import Captioned
from showtell.prediction.inputs import PictureList
from showtell.text import Tokenizer


def evaluation_of(
    captioned: Mapping[int, Captioned],
    listed: PictureList,
    data: Sequence[DataConfig],
    metrics: Sequence[str],
    tokenizer: Tokenizer,
    clip_model: str = CLIP_MODEL,
) -> Evaluation:
    """What a model's captions are worth.

    Args:
        captioned: by picture id.
        listed: the pictures; where they are only named, what captions tell by themselves is measured.
        data: what the model was trained on, as far as it matters.
        metrics: what its training asked for besides.
        tokenizer: the model's.
        clip_model: what looks at the pictures, for metrics that do.
    """
    best = {picture: found.captions[0] for picture, found in captioned.items()}
    forms, note = training_forms(data, tokenizer)
    notes = [note] if note else []
    if not listed.name:
        return Evaluation({}, {}, caption_variety(best.values(), forms, tokenizer), notes)
    references = {picture.id: picture.captions for picture in listed.pictures}
    domains = {picture.id: picture.domain for picture in listed.pictures if picture.domain}
    files = {picture.id: picture.path for picture in listed.pictures}
    looked_at = Pictures(lambda picture: picture_pixels(files[picture]), clip_model)
    seen = looked_at if any(find("metric", name).load().looks_at_pictures for name in metrics) else None
    found = evaluate(
        best, references, (listed.name, listed.split), forms, metrics, domains, tokenizer, listed.form, seen
    )
    return replace(found, notes=[*found.notes, *notes])


def training_forms(data: Sequence[DataConfig], tokenizer: Tokenizer) -> tuple[Forms | None, str | None]:
    """The captions of the training splits, or a note why they cannot be had."""
    if not data:
        return None, None
    forms: Forms = frozenset()
    for section in {str(one): one for one in data}.values():
        try:
            split = read_split(section, "train", check_files=False)
        except (UserError, OSError) as error:
            return None, f"share of new captions left out: the training captions are not at hand ({error})"
        texts = (caption for picture in split.pictures for caption in picture.captions)
        forms |= caption_forms(texts, tokenizer)
    return forms, None
