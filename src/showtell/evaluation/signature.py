"""What a score is about, in one line that travels with it: two scores compare only if their signatures agree.

`cider:d1|tok:ptb1-nltk3.9.2|split:val|pics:100|refs:5|form:coco|set:3f1c09ab|v:0.1.0`: the metric and its version, the
tokens that are compared, the split, the pictures, the references of each (`4-7` where they have unequally many), the
layout of the references' file, a hash of what people wrote (in any order of the pictures), and Showtell's version.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from showtell.config.registry import parts
from showtell.text import Tokenizer
from showtell.version import __version__

PTB_VERSION = "1"  # changes with `ptb_tokens`


@dataclass(frozen=True)
class Signature:
    """What all scores of a set of pictures share; `of` puts a metric's own in front.

    Attributes:
        tok: the tokenizer and its version.
        split: train, val, test or `-`.
        pics: pictures that are scored.
        refs: references of each.
        form: the layout of the references' file or data set.
        set: hash of the references.
    """

    tok: str
    split: str
    pics: int
    refs: str
    form: str
    set: str

    def of(self, metrics: Iterable[str], model: str = "") -> str:
        """The line for scores by these registered names, `model` being the network that looks at the pictures."""
        versions = {part.name: part.sha256[:8] or getattr(part.load(), "version", "1") for part in parts("metric")}
        looking = {part.name for part in parts("metric") if model and part.load().looks_at_pictures}
        versions |= {name: f"{versions[name]}-{Path(model).as_posix()}" for name in looking}
        named = "+".join(f"{name}:{versions.get(name, '?')}" for name in sorted(metrics))
        facts = "|".join(f"{key}:{value}" for key, value in vars(self).items())
        return f"{named}|{facts}|v:{__version__}"


def signature(
    references: Mapping[int, Sequence[str]], tokenizer: Tokenizer, split: str | None = None, form: str = ""
) -> Signature:
    """Of pictures with these references."""
    counts = sorted({len(texts) for texts in references.values()})
    refs = f"{counts[0]}-{counts[-1]}" if len(counts) > 1 else str(counts[0])
    return Signature(_tokens(tokenizer), split or "-", len(references), refs, form or "-", _hash(references.values()))


def _tokens(tokenizer: Tokenizer) -> str:
    tokenizer = tokenizer.of_words
    if tokenizer.is_english:
        return f"ptb{PTB_VERSION}-nltk{version('nltk')}"
    plugins = len(tokenizer.version) == 64  # the hash of its file
    return f"{tokenizer.name}-{tokenizer.version[:8] if plugins else tokenizer.version.replace(' ', '-')}"


def _hash(references: Iterable[Sequence[str]]) -> str:
    digest = hashlib.sha256()
    for text in sorted("\n".join(texts) for texts in references):
        digest.update(text.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()[:8]
