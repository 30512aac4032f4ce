"""`captioner.json`: what a program must know besides the three graphs."""

import json
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
from showtell.text.subwords import GOES_ON, BytePairs, Pretrained

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
        "bytes": bytes_of_letters(vocabulary),
        "glued": glued(vocabulary),
        "shown": shown_otherwise(vocabulary),
        "words": vocabulary.words,
    }


def shown_otherwise(vocabulary: Vocabulary) -> dict[str, str]:
    """Tokens whose words are not shown as they are: nltk's quotes, say."""
    shown = (vocabulary.tokenizer.pieces([_PROBE, word])[1].strip() for word in vocabulary.words)
    return {str(token): text for token, text in enumerate(shown) if text != vocabulary.words[token]}


def bytes_of_letters(vocabulary: Vocabulary) -> dict[str, int]:
    """What GPT-2's byte-level tokens spell bytes with, blanks included; empty where tokens are text.

    Source: Radford et al. 2019, `bytes_to_unicode`: printable ones stand for themselves.
    """
    tokenizer = vocabulary.tokenizer
    if not isinstance(tokenizer, Pretrained) or "ByteLevel" not in str(json.loads(tokenizer.content).get("decoder")):
        return {}
    printable = [byte for byte in range(256) if chr(byte).isprintable() and byte != ord(" ") and byte != 0xAD]
    others = [byte for byte in range(256) if byte not in printable]
    return {**{chr(byte): byte for byte in printable}, **{chr(256 + n): byte for n, byte in enumerate(others)}}


def glued(vocabulary: Vocabulary) -> dict[str, Any]:
    """Between which words no blank stands: tokens that have none before them, or after, and pairs that have one yet.

    That is all that a tokenizer of ours knows: of the pairs, those of punctuation marks alone. Where tokens are pieces
    of words, also which go on with a word, and what `whole` words are shown as, if not as their pieces say.
    """
    words = [] if bytes_of_letters(vocabulary) else list(enumerate(vocabulary.words))[UNK + 1 :]

    def touch(left: str, right: str) -> bool:
        return not vocabulary.tokenizer.pieces([left, right])[1].startswith(" ")

    before = [token for token, word in words if touch(_PROBE, word)]
    after = [token for token, word in words if touch(word, _PROBE)]
    tokenizer, marks = vocabulary.tokenizer, list[int]()
    if not isinstance(tokenizer, Pretrained):  # whose tokens bring their blanks with them
        marks = [token for token, word in words if not any(letter.isalnum() for letter in word)]
    apart = [
        [left, right]
        for left in marks
        for right in marks
        if (right in before or left in after) and not touch(vocabulary.words[left], vocabulary.words[right])
    ]
    goes_on, whole = list[int](), dict[str, str]()
    if isinstance(tokenizer, BytePairs):
        goes_on = [token for token, word in words if word.startswith(GOES_ON)]
        shown = {word: tokenizer.of_words.pieces([_PROBE, word])[1] for word in _short_words()}
        whole = {word: text for word, text in shown.items() if text != f" {word}" or not word[-1].isalpha()}
    return {"before": before, "after": after, "apart": apart, "goes_on": goes_on, "whole": whole}


def _short_words() -> Iterator[str]:
    """What may be written otherwise than its pieces: contractions, quotation marks, rows of marks."""
    yield from ("``", "''", *(count * mark for mark in ".!?" for count in (2, 3, 4)))
    for one, other in product(ascii_lowercase, ["", *ascii_lowercase]):
        yield from (f"'{one}{other}", f"{one}'{other}")
