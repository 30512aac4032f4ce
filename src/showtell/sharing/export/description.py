"""`captioner.json`: what a program must know besides the three graphs."""

from dataclasses import asdict
from typing import Any

from showtell import __version__
from showtell.config import DecodingConfig
from showtell.models.encoders.encoding import licence_of
from showtell.models.encoders.pair import in_words
from showtell.models.layers import grid_shape
from showtell.prediction.captioner import Captioner
from showtell.text import UNK, Vocabulary

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


def glued(vocabulary: Vocabulary) -> dict[str, list[Any]]:
    """Between which words no blank stands: tokens that have none before them, or after, and pairs that have one yet.

    That is all that a tokenizer of ours knows: of the pairs, those of punctuation marks alone.
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
    return {"before": before, "after": after, "apart": apart}
