"""What `predict.py` writes: COCO results, scores, pictures with their captions, and the content of the gallery."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from showtell.data.annotations import Picture
from showtell.data.images import picture_pixels
from showtell.data.paths import telling_names
from showtell.evaluation.report import figures, footnotes, scores_content
from showtell.files import atomic_write, write_json
from showtell.gallery.contents import Caption, Entry, Page, Prediction, Word
from showtell.gallery.drawing import attention_sheet, caption_card, contact_sheet
from showtell.prediction.captioner import Captioned, PictureCaptioner
from showtell.prediction.inputs import ModelOutput, NamedModel, coco_id
from showtell.text import Tokenizer


def write_results(
    captioned: Mapping[int, Captioned], pictures: Sequence[Picture], path: Path, *, annotated: bool
) -> None:
    """COCO's result format: `image_id` and `caption` of each picture and nothing else, as evaluation servers want.

    Pictures without a COCO number are told apart by `file_name`; where several captions were asked for, `captions` has
    all of them, best first.
    """
    numbered = not annotated and any(coco_id(picture.path) != picture.id for picture in pictures)
    results: list[dict[str, Any]] = []
    for picture, name in zip(pictures, telling_names([picture.path for picture in pictures]), strict=True):
        result: dict[str, Any] = {"image_id": picture.id, **_told(captioned[picture.id])}
        results.append({**result, "file_name": name} if numbered else result)
    write_json(path, results)


def _told(captioned: Captioned) -> dict[str, Any]:
    best, *others = captioned.captions
    return {"caption": best, "captions": captioned.captions} if others else {"caption": best}


def write_scores(output: ModelOutput, pictures: Sequence[Picture], path: Path) -> None:
    """Writes `scores_content`."""
    model, rows = output.model, []
    for picture, name in zip(pictures, telling_names([picture.path for picture in pictures]), strict=True):
        found = output.captioned[picture.id]
        row = {"image_id": picture.id, "file_name": name, **_told(found)}
        rows.append({**row, "log_prob": found.hypotheses[0].log_prob})
    about = model.label, model.files, model.decoding
    content = scores_content(output.evaluation, rows, *about)
    write_json(path, {**content, "views": model.views} if model.views > 1 else content)


def output_names(paths: Sequence[Path]) -> list[str]:
    """A file name of its own per picture, without ending: its telling name, with the picture's ending if need be."""
    tellings = [name.replace("/", "_") for name in telling_names(paths)]
    several = Counter(Path(name).stem for name in tellings)
    names: dict[str, None] = {}
    for telling in tellings:
        name = Path(telling).stem if several[Path(telling).stem] == 1 else telling
        free = (other for number in count(2) if (other := f"{name}_{number}") not in names)
        names[next(free) if name in names else name] = None
    return list(names)


def save_attention(captioner: PictureCaptioner, captioned: Captioned, file: Path) -> None:
    """Writes the picture once per word of each caption, lit where the model, which must attend, looked."""
    pixels = picture_pixels(captioned.path)
    sheets = []
    for rank, words in enumerate(captioned.words):
        maps = captioner.look(captioned, rank)
        assert maps is not None
        sheets.append(attention_sheet(pixels, words, maps))
    with atomic_write(file) as stream:
        contact_sheet(sheets, columns=1).save(stream, format="PNG")


def save_picture(captioned: Captioned, file: Path) -> None:
    """Writes the picture with its captions below it."""
    several = len(captioned.captions) > 1
    lines = [f"{rank}. {text}" if several else text for rank, text in enumerate(captioned.captions, start=1)]
    card = caption_card(picture_pixels(captioned.path), "\n".join(lines), width=480)
    with atomic_write(file) as stream:
        card.save(stream, format="PNG")


def gallery_page(
    title: str, outputs: Sequence[ModelOutput], pictures: Sequence[Picture], most: int, notes: Sequence[str]
) -> Page:
    """The page of what models said about all captioned pictures, of which at most `most` are shown."""
    names = telling_names([picture.path for picture in pictures])
    entries = [
        Entry(picture.path, picture.captions, _predictions(outputs, picture.id), name)
        for picture, name in zip(pictures, names, strict=True)
    ]
    chosen, sentence = choose([mean_cider(entry) for entry in entries], most)
    evaluations = {output.model.label: output.evaluation for output in outputs}
    return Page(
        title=title,
        systems=[(output.model.label, _description(output.model)) for output in outputs],
        figures=figures(evaluations),
        entries=[with_maps(entries[place], outputs, pictures[place].id) for place in chosen],
        subject=str(outputs[0].evaluation.subject or ""),
        notes=[*([sentence] if sentence else []), *notes, *footnotes(evaluations)],
    )


def choose(scores: Sequence[float | None], most: int) -> tuple[list[int], str]:
    """Which pictures are shown where there are too many: the worst third, the best third, and some evenly between.

    A score is None without references, and then the choice is even. Returned are places in the old order, and a
    sentence about the choice (empty when all are shown).
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
    predictions = []
    for output in outputs:
        tokenizer = output.model.captioner.vocabulary.tokenizer
        captions = captions_of(output.captioned[picture], tokenizer)
        predictions.append(Prediction(captions, output.evaluation.pictures.get(picture, {})))
    return predictions


def captions_of(captioned: Captioned, tokenizer: Tokenizer) -> list[Caption]:
    """The n-best captions, word by word with probabilities."""
    captions = []
    for words, hypothesis in zip(captioned.words, captioned.hypotheses, strict=True):
        *probabilities, end = (math.exp(value) for value in hypothesis.word_log_probs)
        pairs = zip(tokenizer.pieces(words), probabilities, strict=True)
        captions.append(Caption([Word(word.lstrip(), p, glued=word[:1] != " ") for word, p in pairs], end))
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
    settings += [f"{model.views} views"] if model.views > 1 else []
    return f"{' + '.join(str(file) for file in model.files)} · {', '.join(settings)}"
