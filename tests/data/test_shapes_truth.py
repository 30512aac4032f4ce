import random

import pytest

from showtell.data.shapes.scenes import describe, think_up
from showtell.data.shapes.truth import constant_caption_floor, is_true, relations_hold, truth_shares


def thing(kind, color, size, texture, box):
    return {"kind": kind, "color": color, "size": size, "texture": texture, "box": box}


STAR = thing("star", "red", "small", "striped", [10, 10, 80, 80])
HOUSE = thing("house", "blue", "large", "plain", [120, 10, 220, 110])
FISH = thing("fish", "green", "large", "dotted", [120, 120, 220, 220])
PAIR = {"background": "beach", "objects": [STAR, HOUSE]}
THREE = {"background": "beach", "objects": [STAR, HOUSE, FISH]}


@pytest.mark.parametrize(
    "caption",
    [
        "A red star to the left of a blue house.",
        "a small striped red star",
        "a striped small red star",
        "an red star .",
        "a red star with stripes on the beach .",
        "the blue house is right of a little star on the sand",
        "on the beach , there is a red star and a blue house",
        "to the left of a blue house is a star",
        "a large house with a red star to its left",
        "we see a plain cottage",
        "a red star is on the beach",
    ],
)
def test_true_of_the_pair(caption):
    assert is_true(caption, PAIR)


@pytest.mark.parametrize(
    "caption",
    [
        "a blue star",
        "a red house and a blue star",
        "a red star to the right of a blue house",
        "a red star above a blue house",
        "a large red star",
        "a dotted red star",
        "a red star with dots",
        "a red star in the snow",
        "a red star and a red star",
        "a red blue star",
        "a red star and a blue house and",
        "a fish",
        "a house with a star to its right",
        "in the snow, a red star on the beach",
        "a red star, a blue house and a green fish",
    ],
)
def test_false_of_the_pair(caption):
    assert not is_true(caption, PAIR)


@pytest.mark.parametrize(
    "caption",
    ["", ".", "on the beach", "red star", "a red", "a red star a blue house", "there is",
     "a red star of", "a <unk> star", "a red star left of", "is a red star", "with dots", "a rote Stern",
     "a red star 2 a house", "a red star on the beach on the beach"],
)  # fmt: skip
def test_what_is_no_sentence_is_false(caption):
    assert not is_true(caption, PAIR)


def test_a_relation_to_two_objects_must_hold_for_both():
    assert is_true("a star to the left of a house and a fish", THREE)
    assert is_true("a red star and a blue house above a fish", THREE)
    assert not is_true("a fish below a star and to the left of a house", THREE)
    assert not is_true("a house to the right of a star and a fish", THREE)
    assert is_true("a star, a blue house and a green fish", THREE)
    assert not is_true("a star, a green house and a blue fish", THREE)


def test_captions_are_seldom_true_of_other_scenes():
    scenes = [think_up("val", index, 0) for index in range(150)]
    captions = [caption for index, scene in enumerate(scenes) for caption in describe(scene, str(index))]
    rng = random.Random(0)
    wrong = {picture: rng.choice(scenes) for picture in range(len(captions))}
    assert truth_shares(dict(enumerate(captions)), wrong)["true"] < 0.05


def test_shuffled_words_are_never_an_error_and_seldom_true():
    rng, verdicts = random.Random(0), []
    for index in range(200):
        scene = think_up("train", index, 0)
        words = describe(scene, str(index))[0].lower().rstrip(".").split()
        rng.shuffle(words)
        verdicts.append(is_true(" ".join(words), scene))
    assert sum(verdicts) < 30


def test_the_floor_is_the_best_constant_caption():
    scenes = [PAIR, THREE, {"background": "night", "objects": [FISH]}]
    captions = ["A star.", "A star.", "A star.", "A fish.", "A house at night."]
    assert constant_caption_floor(captions, scenes) == ("A star.", pytest.approx(2 / 3))


def test_the_floor_tries_rare_captions_that_claim_little():
    captions = ["A house at night."] * 3 + ["A red star on the beach.", "A star."]
    assert constant_caption_floor(captions, [PAIR, THREE], candidates=1) == ("A star.", 1.0)


@pytest.mark.parametrize(
    ("caption", "verdict"),
    [
        ("a star to the left of a house", True),
        ("a green star to the left of a house", True),  # wrong looks, right place
        ("a star to the right of a house", False),
        ("a star above a house", False),
        ("a star to the left of a fish", None),  # there is no fish
        ("a star to the left of a star", None),  # there is one
        ("a star and a house", None),
        ("star star star", None),
    ],
)
def test_relations_are_judged_apart_from_looks(caption, verdict):
    assert relations_hold(caption, PAIR) is verdict


def test_shares_count_only_captions_that_place_something():
    captions = {1: "a red star", 2: "a red star to the left of a house", 3: "a star above a house", 4: "a blue star"}
    shares = truth_shares(captions, dict.fromkeys(captions, PAIR))
    assert shares == {"true": 0.5, "relations_true": 0.5}
    assert truth_shares({1: "a red star"}, {1: PAIR}) == {"true": 1.0}
