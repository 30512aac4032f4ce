"""A caption as people typed it becomes one clean line of text.

Captions reach terminals, TensorBoard and result files, so what those cannot carry is removed once, here:
control characters, lone surrogates (valid in JSON, not encodable), marks that reverse the direction of a
terminal's text. Words are left alone; their number is limited where they are cut into tokens.
"""

import re
import unicodedata

MAX_CHARACTERS = 10_000

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_DIRECTION = re.compile(r"[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def clean_caption(text: str) -> str:
    """One line, single blanks, at most `MAX_CHARACTERS`; may be empty."""
    text = text[:MAX_CHARACTERS]
    if not (text.isascii() and text.isprintable()):
        text = _CONTROL.sub(" ", text)
        text = _SURROGATE.sub("\ufffd", text)
        text = unicodedata.normalize("NFC", _DIRECTION.sub("", text))
    return " ".join(text.split())
