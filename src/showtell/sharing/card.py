"""The model card of a pack: `README.md`, with the head that model hubs read."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from showtell.config import Config
from showtell.config.registry import SECTIONS, parts, settings
from showtell.config.setting import flat, spelled
from showtell.models.encoders.pair import in_words

HEAD = """\
---
library_name: showtell
pipeline_tag: image-to-text
tags: [image-captioning]
---
"""
_NOT_RECIPE = ("cache", "resume", "data.root", "device.", "sweep.", "by_size", "data.num_workers", "name")


@dataclass(frozen=True)
class Example:
    """A picture in the pack and the model's caption."""

    file: str
    content: bytes
    caption: str


def card(about: Mapping[str, Any], config: Config, examples: Sequence[Example], *, packed_encoder: bool) -> str:
    """The text; `about` is what `model.json` says."""
    words = len(about["vocabulary"])
    where = "`encoder.safetensors`" if packed_encoder else "not in this file: they install with Showtell"
    sections = {
        "Use": _USE,
        "What it is": f"Encoder {in_words(config.encoder)}, decoder `{config.decoder.name}`, {words:,} words. "
        f"The decoder's weights are `weights.safetensors`, the encoder's {where}. "
        f"`model.json` has the vocabulary and every setting. Made by Showtell {about['showtell']}.",
        "Data": f"Trained on `{config.data.name}`. Terms: {about['licences']['data']}.",
        "Recipe": "\n".join(["What differs from Showtell's defaults:", "", "```", *_recipe(config), "```"]),
        "Scores": _scores(about["scores"]),
        "Licences": "Encoder: {encoder}. Training data: {data}. ".format(**about["licences"]) + _UNSETTLED,
        "Examples": _shown(examples, config),
        "Limits": "It says what its training captions would have said, also where that is wrong: of things that these "
        "never name, of people, of writing. Do not let it decide anything about anybody.",
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"{HEAD}\n# An image captioner: {config.encoder.name}, {config.decoder.name}\n\n{body}\n"


_UNSETTLED = (
    "Whether weights that were learnt from data are bound to the data's terms is not settled; think of both before you "
    "pass this on."
)
_USE = """\
```python
import showtell  # pip install showtell

print(showtell.load("captioner.zip").caption("photo.jpg")[0].captions)
```

or, where Showtell's two scripts are at hand:

```
python predict.py captioner.zip photo.jpg holiday/
python predict.py captioner.zip --serve
```

Nothing in the file is run when it is loaded."""


def _recipe(config: Config) -> list[str]:
    """Settings as train.py's command line has them."""
    own = flat(config.as_dict())
    parts_of = {section: asdict(settings(kind, own[f"{section}.{key}"])) for section, (kind, key) in SECTIONS.items()}
    usual = flat(Config().as_dict() | parts_of)
    named = [f"{section}.{key}" for section, (_, key) in SECTIONS.items()]
    chosen = [key for key in own if key in named or own[key] != usual.get(key)]
    return [f"{key}={spelled(own[key])}" for key in chosen if not key.startswith(_NOT_RECIPE)]


def _scores(scores: Sequence[Mapping[str, Any]]) -> str:
    if not scores:
        return "None are known of this checkpoint."
    names = {key: name for part in parts("metric") for key, name in part.load().names.items()}
    told = []
    for one in scores:
        rows = ["| score | value | 95% interval |", "|---|---|---|"]
        for key, score in one["scores"].items():
            interval = f"[{score['low']:.4f}, {score['high']:.4f}]" if "low" in score else ""
            rows.append(f"| {names.get(key, key)} | {score['value']:.4f} | {interval} |")
        signature = ["", f"Signature: `{one['signature']}`"] if one["signature"] else []
        told.append("\n".join([f"On the {one['on'].removeprefix('the ')}:", "", *rows, *signature]))
    interval = "An interval is over the choice of pictures, not of the seed (bootstrap, 1,000 resamples)."
    return "\n\n".join([*told, interval])


def _shown(examples: Sequence[Example], config: Config) -> str:
    if not examples:
        return f"None: the pictures of {config.data.name} are not ours to pass on."
    head = "Validation pictures of the embedded data set, and what the model says:"
    return "\n\n".join([head, *(f"![{one.caption}]({one.file})\n\n{one.caption}" for one in examples)])
