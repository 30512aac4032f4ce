"""CLIPScore: the formula by hand, and open_clip's real code with random weights, which the test writes itself.

No trained weights are there offline, so that good captions score higher than bad ones is not tested.
"""

import json
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image
from tests.score.test_score import coco, results, write

from showtell.errors import UserError
from showtell.evaluation.clipscore import PROMPT, clip_scores
from showtell.evaluation.metric import Pictures
from showtell.evaluation.metrics import score_captions
from showtell.score.__main__ import main

HAS_CLIP = find_spec("open_clip") is not None
SAID = {1: "A red square.", 2: "a dog"}
REFERENCES = {1: ["a red square", "something red"], 2: ["a brown dog runs", "a dog", "an animal"]}


def test_the_formula_is_that_of_a_hand_computation():
    pictures, captions = np.array([[1.0, 0], [1, 0]]), np.array([[0.6, 0.8], [-0.6, 0.8]])
    references = np.array([[1.0, 0], [0, 1], [0, -1]])  # two of the first picture, one of the second
    clip, ref = clip_scores(pictures, captions, references, np.array([0, 2, 3]))
    assert clip.tolist() == pytest.approx([2.5 * 0.6, 0])  # a negative cosine counts 0
    assert ref.tolist() == pytest.approx([2 * 1.5 * 0.8 / (1.5 + 0.8), 0])  # the best reference: 0.8


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("ref.json", coco(REFERENCES))
    write("res.json", results(SAID))
    (tmp_path / "pictures").mkdir()
    for picture, color in ((1, "red"), (2, "brown")):
        Image.new("RGB", (50, 40), color).save(f"pictures/{picture:04}.jpg")
    return tmp_path


@pytest.fixture
def model(files):
    """A tiny network with random weights, in the form that open_clip writes and reads."""
    open_clip = pytest.importorskip("open_clip")
    import torch
    from safetensors.torch import save_file

    sizes = {"layers": 1, "width": 64}
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "patch_size": 16, "head_width": 32, **sizes},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "heads": 2, **sizes},
    }
    torch.manual_seed(0)
    (files / "clip").mkdir()
    save_file(open_clip.CLIP(**config).state_dict(), files / "clip" / "open_clip_model.safetensors")
    write("clip/open_clip_config.json", {"model_cfg": config, "preprocess_cfg": {}})
    return files / "clip"


def test_the_command_gives_what_open_clip_gives_by_hand(model, capsys):
    import open_clip
    import torch

    command = ["res.json", "--references", "ref.json", "--metrics", "clipscore", "--images", "pictures"]
    main([*command, "--clip-model", "clip", "--output", "scores.json"])
    printed = capsys.readouterr().out
    network, _, transform = open_clip.create_model_and_transforms("local-dir:clip")
    network.eval()
    tokenize = open_clip.get_tokenizer("local-dir:clip")
    with torch.inference_mode():
        seen = network.encode_image(transform(Image.open("pictures/0001.jpg"))[None])[0]
        said, *truth = network.encode_text(tokenize([PROMPT + text for text in (SAID[1], *REFERENCES[1])]))
    cosine = torch.nn.functional.cosine_similarity
    clip = 2.5 * max(cosine(seen, said, dim=0).item(), 0)
    closest = max(cosine(said, one, dim=0).item() for one in truth)
    content = json.loads((model.parent / "scores.json").read_text())
    first = content["pictures"][0]
    assert first["clipscore"] == pytest.approx(clip, abs=1e-5)
    assert first["refclipscore"] == pytest.approx(2 * clip * closest / (clip + closest) if clip else 0, abs=1e-5)
    assert "RefCLIPScore  " in printed and "clipscore:1-clip" in printed  # with interval and signature
    assert set(content["systems"]["res"]["scores"]["clipscore"]) == {"value", "low", "high"}


def test_weights_that_are_not_there_are_one_line_with_the_remedy(files, monkeypatch):
    pytest.importorskip("open_clip")
    (files / "empty").mkdir()
    pictures = Pictures(lambda picture: np.zeros((8, 8, 3), np.uint8), "empty")
    (note,) = score_captions(SAID, REFERENCES, ["clipscore"], pictures=pictures).notes
    assert note.startswith("CLIPSCORE left out: no weights of empty (") and "--clip-model" in note and "\n" not in note


@pytest.mark.skipif(HAS_CLIP, reason="open_clip is installed")
def test_without_the_extra_a_note_names_it(files, capsys):
    main(["res.json", "--references", "ref.json", "--metrics", "clipscore", "--images", "pictures"])
    said = capsys.readouterr()
    assert "CLIPSCORE left out: open_clip is not installed; `pip install '.[clip]'` brings it" in said.err
    assert "signature: bleu:1+cider:1+rouge_l:1|" in said.out  # what was not had stands in no signature


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metrics", "clipscore"], "--metrics clipscore: it looks at the pictures; say with --images DIR"),
        (["--metrics", "clipscore", "--images", "nowhere"], "no such folder"),
        (["--metrics", "clipscore", "--images", "."], "0001.jpg is not there"),
        (["--images", "pictures"], "belongs to --analysis FILE.html or --metrics clipscore"),
    ],
)
def test_mistakes_about_pictures_are_one_line(files, options, message):
    with pytest.raises(UserError, match=message):
        main(["res.json", "--references", "ref.json", *options])
