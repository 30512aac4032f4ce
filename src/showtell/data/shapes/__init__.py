"""The embedded data set: drawn scenes whose truth is known, so that a caption can be judged true or false.

It needs no download and goes the whole path of real data: pictures on disk, COCO's annotation files, an
encoder that was trained on photographs. Being drawn, it costs realism; being known, it gives what no real
data set has, the share of captions that are wholly true.
"""

from showtell.data.shapes.files import ensure_shapes, load_scenes
from showtell.data.shapes.truth import constant_caption_floor, is_true, truth_shares

__all__ = ["constant_caption_floor", "ensure_shapes", "is_true", "load_scenes", "truth_shares"]
