"""From captioned pictures to the gallery's content: words with their probabilities, and which pictures are shown."""

import math
from collections.abc import Sequence
from dataclasses import replace

from showtell.data.annotations import Picture
from showtell.gallery.contents import Caption, Entry, Page, Prediction, Word
from showtell.prediction.captioner import Captioned
from showtell.prediction.evaluate import figures
from showtell.prediction.systems import ModelOutput, NamedModel


def gallery_page(
    title: str, outputs: Sequence[ModelOutput], pictures: Sequence[Picture], most: int, notes: Sequence[str]
) -> Page:
    """The page of what models said about pictures.

    Args:
        title: of the page.
        outputs: of each model.
        pictures: all that were captioned.
        most: no more pictures than this are shown.
        notes: what the reader must know.
    """
    entries = [Entry(picture.path, picture.captions, _predictions(outputs, picture.id)) for picture in pictures]
    chosen, sentence = choose([mean_cider(entry) for entry in entries], most)
    return Page(
        title=title,
        systems=[(output.model.label, _description(output.model)) for output in outputs],
        figures=figures({output.model.label: output.evaluation for output in outputs}),
        entries=[with_maps(entries[place], outputs, pictures[place].id) for place in chosen],
        total=len(pictures),
        notes=[*([sentence] if sentence else []), *notes],
    )


def choose(scores: Sequence[float | None], most: int) -> tuple[list[int], str]:
    """Which pictures are shown where there are too many: the worst third, the best third, and some evenly between.

    Args:
        scores: of each picture; None without references, and then the choice is even.
        most: how many are shown.

    Returns:
        Their places in the old order, and a sentence about the choice (empty when all are shown).
    """
    if len(scores) <= most:
        return list(range(len(scores))), ""
    known = [(score, place) for place, score in enumerate(scores) if score is not None]
    if len(known) < len(scores):
        return _evenly(range(len(scores)), most), f"{most} of {len(scores)} pictures are shown, chosen evenly."
    ranked = [place for _, place in sorted(known)]
    third = most // 3
    middle = _evenly(ranked[third : len(ranked) - third], most - 2 * third)
    sentence = (
        f"{most} of {len(scores)} pictures are shown: by CIDEr the {third} worst, the {third} best, "
        f"and {len(middle)} evenly from between. The figures are about all."
    )
    return sorted([*ranked[:third], *middle, *ranked[len(ranked) - third :]]), sentence


def _evenly(places: Sequence[int], count: int) -> list[int]:
    return [places[i * len(places) // count] for i in range(count)]


def mean_cider(entry: Entry) -> float | None:
    """Over the models; None without references."""
    values = [one.scores["cider"] for one in entry.predictions if "cider" in one.scores]
    return sum(values) / len(values) if values else None


def _predictions(outputs: Sequence[ModelOutput], picture: int) -> list[Prediction]:
    return [
        Prediction(captions_of(output.captioned[picture]), output.evaluation.pictures.get(picture, {}))
        for output in outputs
    ]


def captions_of(captioned: Captioned) -> list[Caption]:
    """The n-best captions, word by word with probabilities."""
    captions = []
    for words, hypothesis in zip(captioned.words, captioned.hypotheses, strict=True):
        *probabilities, end = (math.exp(value) for value in hypothesis.word_log_probs)
        pairs = zip(words, probabilities, strict=True)
        captions.append(Caption([Word(word, p) for word, p in pairs], end))
    return captions


def with_maps(entry: Entry, outputs: Sequence[ModelOutput], picture: int) -> Entry:
    """The entry with what attending models looked at for each word of their best captions."""
    predictions = []
    for output, one in zip(outputs, entry.predictions, strict=True):
        maps = output.model.captioner.look(output.captioned[picture])
        if maps is not None:
            best, *others = one.captions
            words = [
                replace(word, map=weights.flatten().tolist()) for word, weights in zip(best.words, maps, strict=True)
            ]
            one = replace(one, captions=[replace(best, words=words, grid=maps.shape[1:]), *others])
        predictions.append(one)
    return replace(entry, predictions=predictions)


def _description(model: NamedModel) -> str:
    """Where it comes from and how it decodes, with only the settings that matter for the method."""
    decoding = model.decoding
    settings = [decoding.method]
    if decoding.method == "beam":
        settings = [f"beam {decoding.beam_size}", *([f"{decoding.groups} groups"] if decoding.groups > 1 else [])]
    if decoding.method == "sample":
        settings += [f"temperature {decoding.temperature:g}", f"top-k {decoding.top_k}", f"top-p {decoding.top_p:g}"]
    return f"{' + '.join(str(file) for file in model.files)} · {', '.join(settings)}"
