"""Which things captions name, and which of them they invent."""

import pytest

from showtell.data.shapes.scenes import NOUNS, describe, think_up
from showtell.data.shapes.truth import parse
from showtell.evaluation.ptb import scored_tokens
from showtell.evaluation.things import Lexicon, chair, coco_lexicon, plural
from showtell.text import NLTK


def named(caption: str) -> list[str]:
    return [mention.thing for mention in coco_lexicon().mentions(scored_tokens(caption, NLTK))]


@pytest.mark.parametrize(
    ("caption", "things"),
    [
        ("Two men and a woman riding bikes.", ["person", "person", "bicycle"]),
        ("A man eating a hot dog next to his dog.", ["person", "hot dog", "dog"]),
        ("Teddy bears and a bear.", ["teddy bear", "bear"]),
        ("A toilet paper roll beside the toilet.", ["toilet"]),
        ("Trains at a train station.", ["train"]),
        ("Glasses of wine, knives and oranges on tables.", ["wine glass", "knife", "orange", "dining table"]),
        ("An orange cat.", ["cat"]),
        ("A baseball player swings a bat.", ["person", "baseball bat"]),
        ("A double decker bus.", ["bus"]),
        ("A view of the sky.", []),
    ],
)  # fmt: skip
def test_the_longest_phrase_names_the_thing(caption: str, things: list[str]) -> None:
    assert named(caption) == things


def test_plurals() -> None:
    assert [plural(word) for word in ("bus", "puppy", "pony", "toy bear", "glass of wine", "policeman", "couch")] == [
        "buses", "puppies", "ponies", "toy bears", "glasses of wine", "policemen", "couches",
    ]  # fmt: skip


def test_every_thing_of_coco_has_words_and_names_itself() -> None:
    lexicon = coco_lexicon()
    assert len(lexicon.things) == 80
    for thing in set(lexicon.things) - {"orange"}:  # which is a colour more often than a fruit
        assert [mention.thing for mention in lexicon.mentions(thing.split())] == [thing]


def test_what_nobody_says_or_marks_is_invented() -> None:
    captions = [["a", "dog", "and", "a", "cat"], ["a", "bus"], ["the", "sky"]]
    references = [[["a", "puppy"]], [["a", "street"]], [["a", "cloud"]]]
    found = chair(captions, references, [[], ["bus"], []], coco_lexicon())
    assert [[mention.thing for mention in one] for one in found.invented] == [["cat"], [], []]
    assert (found.i, found.s) == (1 / 3, 1 / 3)
    without_marks = chair(captions, references, None, coco_lexicon())
    assert (without_marks.i, without_marks.s) == (2 / 3, 2 / 3)
    assert chair([[]], [[]], None, coco_lexicon()).i == 0


def test_what_captions_of_scenes_invent_is_what_the_generator_did_not_draw() -> None:
    scenes = [think_up("val", index, 0) for index in range(400)]
    told = [describe(scene, f"chair {index}")[0] for index, scene in enumerate(scenes)]
    others = [*told[1:], told[0]]  # each scene is said to be its neighbour
    tokens = [scored_tokens(caption, NLTK) for caption in others]
    kinds = [[thing["kind"] for thing in scene["objects"]] for scene in scenes]
    found = chair(tokens, [[] for _ in scenes], kinds, Lexicon(NOUNS))
    for caption, invented, there in zip(others, found.invented, kinds, strict=True):
        claims = parse(caption)  # the judge reads captions by a grammar, and not by words
        assert claims is not None
        said = [dict(looks).get("kind") for looks in claims.objects]
        assert [mention.thing for mention in invented] == [kind for kind in said if kind and kind not in there]
    assert 0.5 < found.i < 0.95
    honest = chair([scored_tokens(caption, NLTK) for caption in told], [[] for _ in scenes], kinds, Lexicon(NOUNS))
    assert (honest.i, honest.s) == (0, 0)
