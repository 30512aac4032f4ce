from itertools import pairwise, permutations, product

from showtell.data.shapes.drawing import draw
from showtell.data.shapes.scenes import (
    CANVAS,
    COLORS,
    KINDS,
    RELATIONS,
    TEXTURES,
    describe,
    held_out_combinations,
    stands,
    think_up,
)
from showtell.data.shapes.truth import is_true


def scenes(split, count=400):
    return [think_up(split, index, seed=0) for index in range(count)]


def test_a_scene_depends_on_split_index_and_seed_alone():
    assert think_up("train", 5, 0) == think_up("train", 5, 0)
    others = [think_up("val", 5, 0), think_up("train", 6, 0), think_up("train", 5, 1)]
    assert think_up("train", 5, 0) not in others


def test_objects_lie_inside_the_picture_and_apart():
    for scene in scenes("train"):
        boxes = [thing["box"] for thing in scene["objects"]]
        assert all(0 <= left < right <= CANVAS and 0 <= top < low <= CANVAS for left, top, right, low in boxes)
        for a in scene["objects"]:
            for b in scene["objects"]:
                assert a is b or any(stands(r, a, b) for r in RELATIONS)


def test_opposite_relations_never_both_hold():
    a, b = {"box": [0, 0, 50, 50]}, {"box": [60, 10, 90, 90]}
    assert stands("left", a, b) and stands("right", b, a)
    assert not stands("right", a, b)
    assert not stands("above", a, b) and not stands("below", a, b)


def test_every_fourth_validation_scene_holds_what_training_never_showed():
    assert not any(held_out_combinations(scene) for scene in scenes("train"))
    assert [bool(scene["held_out"]) for scene in scenes("val", 8)] == [False, False, False, True] * 2


def test_training_shows_every_part_of_the_held_out_combinations():
    things = [thing for scene in scenes("train") for thing in scene["objects"]]
    for name, values in {"kind": KINDS, "color": COLORS, "texture": TEXTURES}.items():
        assert {thing[name] for thing in things} == set(values)
    assert {(thing["kind"], thing["color"]) for thing in things} == set(product(KINDS, COLORS))
    places = {
        (thing[name], relation)
        for scene in scenes("train")
        for thing, other in permutations(scene["objects"], 2)
        for name in ("kind", "color")
        for relation in RELATIONS
        if stands(relation, thing, other)
    }
    assert places == set(product((*KINDS, *COLORS), RELATIONS))


def test_a_scene_has_five_different_true_captions():
    for index, scene in enumerate(scenes("val")):
        captions = describe(scene, str(index))
        assert len(set(captions)) == 5
        assert [caption for caption in captions if not is_true(caption, scene)] == []


def test_captions_are_sentences():
    for index, scene in enumerate(scenes("train", 100)):
        for caption in describe(scene, str(index)):
            assert caption[0].isupper() and caption.endswith(".") and "  " not in caption
            words = caption.lower().split()
            for word, after in pairwise(words):
                assert word not in ("a", "an") or (word == "an") == (after[0] in "aeiou")


def test_the_picture_shows_the_objects_color_where_its_box_is():
    thing = {"kind": "heart", "color": "red", "size": "large", "texture": "plain", "box": [10, 10, 110, 110]}
    image = draw({"background": "snow", "objects": [thing]}, "seed")
    assert image.size == (CANVAS, CANVAS) and image.mode == "RGB"
    red, green, blue = image.getpixel((60, 60))
    assert red > 180 and green < 80 and blue < 80
    assert min(image.getpixel((180, 180))) > 150


def test_textures_change_the_picture():
    def body(texture):
        thing = {"kind": "heart", "color": "red", "size": "large", "texture": texture, "box": [10, 10, 110, 110]}
        return draw({"background": "snow", "objects": [thing]}, "seed").crop((30, 30, 90, 80)).tobytes()

    assert len({body(texture) for texture in TEXTURES}) == 3
