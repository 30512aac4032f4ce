"""The files that `predict.py` writes besides the gallery: COCO results, scores, pictures with their captions."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

from showtell.data.annotations import Picture
from showtell.data.images import read_picture
from showtell.files import atomic_write, write_text_atomically
from showtell.gallery.drawing import attention_sheet, caption_card
from showtell.prediction.captioner import Captioned, PictureCaptioner
from showtell.prediction.pictures import coco_id
from showtell.prediction.systems import ModelOutput


def labelled(path: Path, label: str) -> Path:
    """`res.json` or, where several models caption, `res-LABEL.json`."""
    name = re.sub(r"[^\w.-]+", "_", label)
    head, dot, tail = path.name.partition(".")
    return path.with_name(f"{head}-{name}{dot}{tail}") if name else path


def scores_file(output: Path) -> Path:
    """`res.scores.json` for `res.json`."""
    return output.with_suffix(".scores.json")


def write_results(
    captioned: Mapping[int, Captioned], pictures: Sequence[Picture], path: Path, *, annotated: bool
) -> None:
    """COCO's result format: `image_id` and `caption` of each picture and nothing else, as evaluation servers want.

    Pictures without a COCO number are told apart by `file_name`.
    """
    numbered = not annotated and any(coco_id(picture.path) != picture.id for picture in pictures)
    results: list[dict[str, Any]] = []
    for picture in pictures:
        result = {"image_id": picture.id, "caption": captioned[picture.id].captions[0]}
        results.append({**result, "file_name": picture.path.name} if numbered else result)
    write_json(path, results)


def write_scores(output: ModelOutput, pictures: Sequence[Picture], path: Path) -> None:
    """Scores of all pictures and of each, how they came about, and what is missing."""
    model, evaluation = output.model, output.evaluation
    rows = []
    for picture in pictures:
        found = output.captioned[picture.id]
        row = {"image_id": picture.id, "file_name": picture.path.name, "caption": found.captions[0]}
        rows.append({**row, "log_prob": found.hypotheses[0].log_prob, **evaluation.pictures[picture.id]})
    content = {
        "system": model.label,
        "checkpoints": [str(file) for file in model.files],
        "decoding": asdict(model.decoding),
        "scores": evaluation.scores,
        "variety": asdict(evaluation.variety),
        "notes": evaluation.notes,
        "pictures": rows,
    }
    write_json(path, content)


def write_json(path: Path, content: object) -> None:
    """Whole or not at all."""
    write_text_atomically(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def output_names(paths: Sequence[Path]) -> list[str]:
    """A name of its own per picture: the file's without ending, where several have one with the folder's before it."""
    several = Counter(path.stem for path in paths)
    names: dict[str, None] = {}
    for path in paths:
        name = path.stem if several[path.stem] == 1 else f"{path.resolve().parent.name}_{path.stem}"
        free = (other for number in count(2) if (other := f"{name}_{number}") not in names)
        names[next(free) if name in names else name] = None
    return list(names)


def save_attention(captioner: PictureCaptioner, captioned: Captioned, file: Path) -> None:
    """Writes the picture once per word of its caption, lit where the model, which must attend, looked."""
    maps = captioner.look(captioned)
    assert maps is not None
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = read_picture(captioned.path).permute(1, 2, 0).numpy()
    with atomic_write(file) as stream:
        attention_sheet(pixels, captioned.words[0], maps).save(stream, format="PNG")


def save_picture(captioned: Captioned, file: Path) -> None:
    """Writes the picture with its caption below it."""
    card = caption_card(read_picture(captioned.path).permute(1, 2, 0).numpy(), captioned.captions[0], width=480)
    with atomic_write(file) as stream:
        card.save(stream, format="PNG")
