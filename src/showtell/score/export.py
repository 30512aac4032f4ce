"""What CaptionEvalKit (`pip install capevalkit`) reads, for scores that Showtell does not have.

`predictions.jsonl` has `id`, `caption` and `image` of each picture, `references.jsonl` its `id` and `references`, as
`capevalkit score --predictions FILE --references FILE [--image-dir DIR]` takes them. Each run has a folder of its own
where there are several.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from showtell.files import write_text_atomically
from showtell.score.judge import Judgement

EXPORTS = ("capevalkit",)


def export(found: Judgement, folder: Path, images: Path | None) -> Iterator[str]:
    """Writes the files of each run, and tells for each the command that scores them."""
    runs = [(name, number, run) for name, some in found.runs.items() for number, run in enumerate(some, 1)]
    for name, number, run in runs:
        label = name.replace("/", "-") + (f"-{number}" if len(found.runs[name]) > 1 else "")
        own = folder / label if len(runs) > 1 else folder
        own.mkdir(parents=True, exist_ok=True)
        source = found.folds[run.fold].references
        said = run.matched.captions
        predictions = ({"id": str(one), "caption": text, "image": source.names[one]} for one, text in said.items())
        references = ({"id": str(one), "references": list(source.texts[one])} for one in said)
        _write(own / "predictions.jsonl", predictions)
        _write(own / "references.jsonl", references)
        place = f" --image-dir {images}" if images else " --image-dir IMAGES"
        files = f"--predictions {own / 'predictions.jsonl'} --references {own / 'references.jsonl'}"
        yield f"written: {own}; score it: capevalkit score --metric clipscore {files}{place} --output SCORES.json"


def _write(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    write_text_atomically(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
