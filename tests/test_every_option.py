"""Every shipped YAML is driven through the real train.py, on a data set in the layout that it expects."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.conftest import draw_coco

from showtell.config import parse
from showtell.data.shards.command import Limits, write_shards
from showtell.errors import USER_ERROR

CONF = Path(__file__).resolve().parents[1] / "conf"
Main = Callable[..., Path]
SMALL = [
    "encoder=resnet18",
    "encoder.weights=none",
    "vocab.threshold=1",
    "device=cpu",
    "debug=fast",
    "data.num_workers=0",
]


def options(*groups: str) -> list[str]:
    return sorted(f"{group}={path.stem}" for group in groups for path in (CONF / group).glob("*.yaml"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_coco(tmp_path_factory.mktemp("options") / "coco", train=10, val=4)


@pytest.fixture(scope="module")
def words(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A run of two steps on the drawn pictures; the cache is shared."""
    return ["data=custom", *in_place(pictures), *SMALL, f"cache={tmp_path_factory.mktemp('cache')}"]


def in_place(root: Path) -> list[str]:
    return [
        f"data.root={root}",
        "data.train_annotations=annotations/captions_train.json",
        "data.val_annotations=annotations/captions_val.json",
        "data.train_images=train",
        "data.val_images=val",
    ]


def finished(run_dir: Path) -> bool:
    return json.loads((run_dir / "status.json").read_text())["state"] == "finished"


@pytest.mark.parametrize("option", options("experiment", "vocab", "features", "decoding", "decoder", "debug"))
def test_option_trains(option: str, main: Main, words: list[str]) -> None:
    group, _, name = option.partition("=")
    extra = {"experiment": ["data=custom"], "debug": ["training.max_epochs=2"]}.get(group, [])
    rest = [word for word in words if not word.startswith(group)]
    if group == "vocab":
        rest = [word for word in words if not word.startswith("vocab")]
    if name in ("scst", "coco_scst", "finetune"):
        rest = [*rest, f"init_from={main(*words)}", "decoder=lstm"]
    if name == "demo":  # it watches what only drawn scenes can tell; other data are refused before any work
        extra = [*extra, "training.monitor=val/cider"]
    assert finished(main(option, *rest, *extra))


@pytest.mark.parametrize("option", options("encoder"))
def test_encoder_trains(option: str, main: Main, words: list[str]) -> None:
    weights = [] if option == "encoder=efficientnet_lite0" else ["encoder.weights=none"]
    rest = [word for word in words if not word.startswith(("encoder=", "encoder.weights"))]
    size = 56 if "dinov2" in option else 64  # patches of 14
    assert finished(main(option, *weights, f"encoder.image_size={size}", *rest))


@pytest.mark.parametrize("option", options("device"))
def test_device_trains_or_says_what_is_missing(
    option: str, main: Main, words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    rest = [word for word in words if not word.startswith("device")]
    if not any(kind in option for kind in ("gpu", "mps")) or torch.cuda.device_count() > 1:
        assert finished(main(option, *rest))
        return
    with pytest.raises(SystemExit) as ended:
        main(option, *rest)
    assert ended.value.code == USER_ERROR
    assert "no usable" in (said := capfd.readouterr().err) and "GPU; use device=cpu" in said


def coco_layout(year: int) -> Callable[[Path, Path], None]:
    def make(source: Path, root: Path) -> None:
        (root / "annotations").mkdir(parents=True)
        for split in ("train", "val"):
            shutil.copytree(source / split, root / f"{split}{year}")
            shutil.copy(
                source / f"annotations/captions_{split}.json", root / f"annotations/captions_{split}{year}.json"
            )

    return make


def custom_layout(source: Path, root: Path) -> None:
    (root / "images").mkdir(parents=True)
    for split in ("train", "val"):
        shutil.copytree(source / split, root / "images", dirs_exist_ok=True)
        shutil.copy(source / f"annotations/captions_{split}.json", root)


def captions_of(source: Path, split: str) -> dict[str, list[str]]:
    content = json.loads((source / f"annotations/captions_{split}.json").read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    found: dict[str, list[str]] = {name: [] for name in names.values()}
    for annotation in content["annotations"]:
        found[names[annotation["image_id"]]].append(annotation["caption"])
    return found


def flickr_layout(tokens: str, folder: str, splits: dict[str, str]) -> Callable[[Path, Path], None]:
    def make(source: Path, root: Path) -> None:
        lines = []
        (root / folder).mkdir(parents=True)
        for split in ("train", "val"):
            found = captions_of(source, split)
            shutil.copytree(source / split, root / folder, dirs_exist_ok=True)
            lines += [f"{name}#{i}\t{text}" for name, texts in found.items() for i, text in enumerate(texts)]
            if split in splits:
                (root / splits[split]).write_text("\n".join(found) + "\n")
        (root / tokens).write_text("\n".join(lines) + "\n")

    return make


def karpathy_layout(source: Path, root: Path) -> None:
    images = []
    for split in ("train", "val"):
        shutil.copytree(source / split, root / f"{split}2014")
        for name, texts in captions_of(source, split).items():
            number = len(images)
            sentences = [
                {"raw": text, "tokens": text.split(), "imgid": number, "sentid": 10 * number + i}
                for i, text in enumerate(texts)
            ]
            images.append(
                {"filename": name, "filepath": f"{split}2014", "split": split, "imgid": number, "cocoid": number + 5,
                 "sentids": [sentence["sentid"] for sentence in sentences], "sentences": sentences}
            )  # fmt: skip
    (root / "dataset_coco.json").write_text(json.dumps({"dataset": "coco", "images": images}))


def shards_layout(source: Path, root: Path) -> None:
    config = parse({"data": {"name": "custom", "format": "coco", "root": str(source)}}).data
    write_shards(config, root, Limits(samples=4, megabytes=1, seed=0), root / "cache")


LAYOUTS: dict[str, Callable[[Path, Path], None]] = {
    "coco2014": coco_layout(2014),
    "coco2017": coco_layout(2017),
    "custom": custom_layout,
    "karpathy": karpathy_layout,
    "flickr8k": flickr_layout(
        "Flickr8k.token.txt",
        "Flicker8k_Dataset",
        {"train": "Flickr_8k.trainImages.txt", "val": "Flickr_8k.devImages.txt"},
    ),
    "flickr30k": flickr_layout("results_20130124.token", "flickr30k-images", {}),
    "shards": shards_layout,
}


@pytest.mark.parametrize("option", options("data"))
def test_data_set_trains_in_its_own_layout(option: str, main: Main, pictures: Path, tmp_path: Path) -> None:
    name = option.partition("=")[2]
    root = tmp_path / "root"
    extra = ["data.shapes.train_pictures=6", "data.shapes.val_pictures=2"] if name == "shapes" else []
    if name != "shapes":
        LAYOUTS[name](pictures, root)
    assert finished(main(option, f"data.root={root}", *extra, *SMALL, f"cache={tmp_path}/cache"))
