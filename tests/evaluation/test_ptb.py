import json
import os
import random
from pathlib import Path

import pytest

from showtell.evaluation.ptb import CONTRACTIONS, exact_ptb_tokens, ptb_tokens

SHARED = Path(os.environ.get("SHOWTELL_SHARED", Path(__file__).resolve().parents[2] / ".." / "shared" / "data"))


@pytest.mark.parametrize(
    ("caption", "tokens"),
    [
        ("A man, in a hat.", "a man in a hat"),
        ("A man rides a horse .\n", "a man rides a horse"),
        ("the corner of Crapo St.", "the corner of crapo st."),
        ("corner of Furnace St. and Main", "corner of furnace st. and main"),
        ("An old room with a T.V.", "an old room with a t.v."),
        ("a motorcycle. The picture is close.", "a motorcycle the picture is close"),
        ("mountain..", "mountain"),
        ("a girls .neck", "a girls neck"),
        ("an old- fashioned t-shirt", "an old fashioned t-shirt"),
        ("a man (left) runs", "a man -lrb- left -rrb- runs"),
        ("the dog's bone isn't here", "the dog 's bone is n't here"),
        ("the dog\N{RIGHT SINGLE QUOTATION MARK}s bone", "the dog 's bone"),
        ("they cannot sit", "they can not sit"),
        ("at 5:54pm.", "at 5:54 pm"),
        ("0.5 miles; 10,000 men: 3/4", "0.5 miles 10,000 men 3/4"),
        ("food for an elephant/", "food for an elephant /"),
        ("the letter K.", "the letter k"),
        ('a "stop" sign!', "a stop sign"),
        (".", ""),
        ("", ""),
    ],
)
def test_tokens_are_those_of_the_java_tokenizer(caption, tokens):
    assert ptb_tokens(caption) == tokens.split()


def test_short_way_equals_exact_way_on_random_text():
    rng = random.Random(0)
    pieces = [*CONTRACTIONS, "a", "dog", "st", "st.", "k.", "t.v.", "no.", ",", ".", "..", ",,", "b.b", "\n"]
    for _ in range(3000):
        text = "".join(rng.choice(pieces) + rng.choice(["", " ", " ", ", "]) for _ in range(rng.randint(0, 6)))
        assert ptb_tokens(text) == exact_ptb_tokens(text), repr(text)


def test_short_way_equals_exact_way_on_val2017():
    file = SHARED / "coco_captions_val2017.json"
    if not file.is_file():
        pytest.skip("the captions of COCO val2017 are not here")
    captions = [item["caption"] for item in json.loads(file.read_text())["annotations"]]
    assert [text for text in captions if ptb_tokens(text) != exact_ptb_tokens(text)] == []
