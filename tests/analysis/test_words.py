"""Words said too often and never, and confusions."""

from tests.analysis.conftest import material_of

from showtell.analysis.confusions import confused_things, confused_words, confusions
from showtell.analysis.material import Things
from showtell.analysis.words import overused, unsaid
from showtell.evaluation.things import coco_lexicon


def test_a_word_that_every_caption_says_and_few_people_do_is_overused() -> None:
    captions = ["a man in a blue shirt"] * 30
    references = [["a man walks in a street", "a man and a dog"]] * 29 + [["a blue bus", "a man in a blue shirt"]]
    found = {one.word: one for one in overused(material_of(captions, references))}
    assert list(found)[:2] in (["blue", "shirt"], ["shirt", "blue"])
    assert not {"man", "a"} & set(found)
    assert found["shirt"].said == 30 and found["shirt"].rate == 1000 / 6
    assert found["shirt"].pictures.tolist() == list(range(29))  # of the last one somebody says it too


def test_one_word_more_is_chance() -> None:
    captions, references = ["a dog runs"] * 9 + ["a zebra runs"], [["a dog runs"]] * 10
    assert overused(material_of(captions, references)) == []


def test_a_word_is_never_said_if_half_of_the_people_of_three_pictures_use_it() -> None:
    references = [["a tall tree", "the tree"]] * 3 + [["a bird", "an owl"]] * 2 + [["a cat", "the sky", "a car"]] * 3
    made = material_of(["the dog"] * 8, references, training={"tree": 7})
    found = unsaid(made)
    assert [(one.word, one.pictures.tolist(), one.training) for one in found] == [
        ("a", list(range(8)), 0), ("tall", [0, 1, 2], 0), ("tree", [0, 1, 2], 7),
    ]  # fmt: skip


def test_what_meets_more_often_than_by_chance_is_confused() -> None:
    wrong = [{"cat"}, {"cat"}, {"cat"}, {"bus", "cat"}, {"bus"}, set(), {"bus"}]
    missed = [{"dog"}, {"dog"}, {"dog"}, {"road"}, {"road"}, {"dog"}, set()]
    found = confusions(wrong, missed)
    assert [(one.said, one.meant, one.pictures.tolist(), one.expected) for one in found] == [
        ("bus", "road", [3, 4], 3 * 2 / 7), ("cat", "dog", [0, 1, 2], 4 * 4 / 7),
    ]  # fmt: skip


def test_words_are_confused_where_no_reference_says_the_one_and_half_say_the_other() -> None:
    captions = ["a cat on the road", "a cat on the road", "a cats on the road", "a sky"]
    references = [
        ["a dog on the road", "dogs near the cars"],
        ["a dog on the road", "the car on roads"],
        ["a dog and a cat", "one dog here"],  # somebody sees the cat
        ["the sky"],
    ]
    found = confused_words(material_of(captions, references))
    pairs = {(one.said, one.meant) for one in found}
    assert ("cat", "dog") in pairs and ("road", "dog") not in pairs
    assert not any(meant == "road" for _, meant in pairs)  # the captions say it
    assert next(one for one in found if (one.said, one.meant) == ("cat", "dog")).pictures.tolist() == [0, 1]


def test_things_are_confused_whatever_their_words_and_what_is_shown_is_not_wrong() -> None:
    captions = ["a kitten", "a cat", "a cat", "a sofa", "a cat", "a cat", *["a sky"] * 3]
    few = ["a horse", "the sky", "a tree"]  # one of three people sees the horse
    references = [
        ["a puppy", "dogs"],
        ["a hound", "the sky"],
        ["a dog", "a puppy"],
        ["a couch"],
        few,
        few,
        *[["the sky"]] * 3,
    ]
    made = material_of(captions, references)
    found = confused_things(made, Things(coco_lexicon(), None, ""))
    assert [(one.said, one.meant, one.pictures.tolist()) for one in found] == [("cat", "dog", [0, 1, 2])]
    shown = [frozenset[str]()] * 2 + [frozenset({"cat"})] + [frozenset[str]()] * 6
    found = confused_things(made, Things(coco_lexicon(), shown, ""))
    assert [one.pictures.tolist() for one in found] == [[0, 1]]
