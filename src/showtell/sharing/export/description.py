"""`captioner.json`: what a program must know besides the three graphs."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from string import ascii_lowercase
from typing import Any

from showtell import __version__
from showtell.config import DecodingConfig
from showtell.models.encoders.encoding import licence_of
from showtell.models.encoders.pair import in_words
from showtell.models.layers import grid_shape
from showtell.prediction.captioner import Captioner
from showtell.text import UNK, Vocabulary
from showtell.text.subwords import GOES_ON

_PROBE = "a"  # a word as any


def description(captioner: Captioner, decoding: DecodingConfig) -> dict[str, Any]:
    """Words, pictures' way in, rules of decoding, and where the model comes from."""
    (config,), vocabulary, shape = captioner.configs, captioner.vocabulary, captioner.encoder.feature_shape
    transforms = [one for part in captioner.encoder.parts for one in part.transform.parts]
    return {
        "made_by": f"showtell {__version__}",
        "model": {
            "encoder": in_words(config.encoder),
            "encoder_licence": licence_of(config.encoder),
            "pooling": config.encoder.pooling,
            "decoder": config.decoder.name,
            "data": config.data.name,
            "tokenizer": config.vocab.tokenizer,
            "best": captioner.best,
        },
        "decoding": asdict(decoding),
        "grid": list(grid_shape(shape[0])) if captioner.attends and len(shape) == 2 else None,
        "transforms": [asdict(one) for one in transforms],
        "glued": glued(vocabulary),
        "shown": shown_otherwise(vocabulary),
        "words": vocabulary.words,
    }


def shown_otherwise(vocabulary: Vocabulary) -> dict[str, str]:
    """Tokens whose words are not shown as they are: nltk's quotes, say."""
    shown = (vocabulary.tokenizer.pieces([_PROBE, word])[1].strip() for word in vocabulary.words)
    return {str(token): text for token, text in enumerate(shown) if text != vocabulary.words[token]}


def glued(vocabulary: Vocabulary) -> dict[str, Any]:
    """Between which words no blank stands: tokens that have none before them, or after, and pairs that have one yet.

    That is all that a tokenizer of ours knows: of the pairs, those of punctuation marks alone. Where tokens are pieces
    of words, also which go on with a word, and what `whole` words are shown as, if not as their pieces say.
    """
    words = list(enumerate(vocabulary.words))[UNK + 1 :]

    def touch(left: str, right: str) -> bool:
        return not vocabulary.tokenizer.pieces([left, right])[1].startswith(" ")

    before = [token for token, word in words if touch(_PROBE, word)]
    after = [token for token, word in words if touch(word, _PROBE)]
    marks = [token for token, word in words if not any(letter.isalnum() for letter in word)]
    apart = [
        [left, right]
        for left in marks
        for right in marks
        if (right in before or left in after) and not touch(vocabulary.words[left], vocabulary.words[right])
    ]
    goes_on, whole = list[int](), dict[str, str]()
    if vocabulary.tokenizer.of_words is not vocabulary.tokenizer:
        goes_on = [token for token, word in words if word.startswith(GOES_ON)]
        shown = {word: vocabulary.tokenizer.of_words.pieces([_PROBE, word])[1] for word in _short_words()}
        whole = {word: text for word, text in shown.items() if text != f" {word}" or not word[-1].isalpha()}
    return {"before": before, "after": after, "apart": apart, "goes_on": goes_on, "whole": whole}


def _short_words() -> Iterator[str]:
    """What may be written otherwise than its pieces: contractions, quotation marks, rows of marks."""
    yield from ("``", "''", *(count * mark for mark in ".!?" for count in (2, 3, 4)))
    for one, other in product(ascii_lowercase, ["", *ascii_lowercase]):
        yield from (f"'{one}{other}", f"{one}'{other}")
