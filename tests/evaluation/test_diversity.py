import pytest

from showtell.evaluation.diversity import caption_forms, caption_variety, repeats_a_word


def test_figures_by_hand():
    seen = caption_forms(["A dog runs.", "two cats sit"])
    captions = ["a dog runs", "a dog runs .", "a cat on a", "red red cat"]
    variety = caption_variety(captions, seen)
    assert (variety.captions, variety.distinct, variety.vocabulary) == (4, 3, 6)
    assert variety.novel == 2 / 4
    assert variety.mean_length == (3 + 3 + 4 + 3) / 4
    assert variety.repeated_words == 1 / 4
    assert variety.bad_endings == 1 / 4


def test_without_training_captions_nothing_is_said_about_novelty():
    assert caption_variety(["a dog"]).novel is None
    assert caption_variety(["a dog"], frozenset()).novel == 1


def test_an_empty_caption_ends_badly():
    assert caption_variety([""]).bad_endings == 1


def test_no_captions_is_an_error():
    with pytest.raises(ValueError, match="no captions"):
        caption_variety([])


@pytest.mark.parametrize(
    ("caption", "repeats"),
    [
        ("a man in a hat next to a man", True),
        ("a dog on the the grass", True),
        ("a dog on a boat on a lake", False),
        ("", False),
    ],
)
def test_repeated_words(caption, repeats):
    assert repeats_a_word(tuple(caption.split())) is repeats
