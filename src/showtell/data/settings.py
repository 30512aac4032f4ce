"""Settings of the shipped annotation formats: how captions are written down, and where. Nothing here imports torch."""

from dataclasses import dataclass
from typing import ClassVar

from showtell.config.registry import declare
from showtell.config.sections import DataConfig
from showtell.config.setting import SCORED_ONLY, Section, section, setting


@dataclass(kw_only=True)
class KarpathyConfig(DataConfig):
    """COCO in Karpathy's splits (training = train + restval): `dataset_coco.json` beside COCO's 2014 pictures.

    The file is in "caption_datasets", from Karpathy's page on "Deep Visual-Semantic Alignments"; its
    dataset_flickr8k.json and dataset_flickr30k.json are read as well.
    """

    name: str = setting("karpathy", "what logs and caches call the data set", hyperparameter=True)
    format: str = setting("karpathy", "how its captions are written down")
    root: str = setting("data/coco2014", "the folder with train2014/ and val2014/", on_resume="ignore", named=False)
    train_annotations: str = setting("dataset_coco.json", "captions of the training pictures")
    val_annotations: str = setting("dataset_coco.json", "captions of the validation pictures")
    train_images: str = setting(".", "folder of the training pictures")
    val_images: str = setting(".", "folder of the validation pictures")

    @property
    def test_remedy(self) -> str:
        """None: the file of the validation captions has one too."""
        return ""


@dataclass(kw_only=True)
class FlickrConfig(DataConfig):
    """Flickr8k and Flickr30k: a token file, or the table of Kaggle's copies.

    Without split files a tenth of the pictures (of Flickr30k 1,000) is for validation, chosen by a hash of their names.
    """

    format: str = setting("flickr", "how its captions are written down")
    name: str = setting("flickr", "what logs and caches call the data set", hyperparameter=True)
    train_split: str | None = setting(None, "file with the names of the training pictures, one per line")
    val_split: str | None = setting(None, "file with the names of the validation pictures")
    test_split: str | None = setting(None, "file with the names of the test pictures", **SCORED_ONLY)

    @property
    def test_remedy(self) -> str:
        """A list of the table's pictures, or a table of its own, is a test split."""
        named = self.test_split is not None or self.test_annotations is not None
        return "" if named else "name the list of its pictures by data.test_split=FILE"


@dataclass(kw_only=True)
class FolderConfig(DataConfig):
    """Your own pictures and captions, in whatever layout they lie in the folder (docs/data.md lists them).

    What is found is told, and `python -m showtell.data check` spells it out as settings. Where one file holds all
    captions and no column of it names the split, a share of its pictures is set aside for validation.
    """

    name: str = setting("folder", "what logs and caches call the data set", hyperparameter=True)
    format: str = setting("folder", "how its captions are written down")
    root: str = setting("data/custom", "the folder that holds it", on_resume="ignore", named=False)
    train_annotations: str = setting(
        "auto",
        "captions of the training pictures: a file; *.txt: texts beside the pictures; folder_names: a picture's folder "
        "is its caption; auto: what is found",
    )
    val_annotations: str = setting(
        "auto", "the same for validation; auto: what is found, or else a share of the training pictures"
    )
    train_images: str = setting("auto", "folder of the training pictures; auto: where they are found")
    val_images: str = setting("auto", "folder of the validation pictures; auto: where they are found")
    image_column: str | None = setting(None, "column with the pictures' names; null: found")
    caption_column: str | None = setting(None, "column with the captions; null: found")
    val_share: float = setting(0.1, "share of the pictures that is set aside for validation", above=0, high=0.9)
    split_seed: int = setting(0, "of that draw", low=0, high=2**31 - 1)


@dataclass(kw_only=True)
class ShapesConfig(Section):
    """How much of the embedded data set is drawn, and from which seed."""

    key: ClassVar[str] = "data.shapes"

    seed: int = setting(0, "of the scenes", low=0, high=2**31 - 1)
    train_pictures: int = setting(4000, "training pictures to draw", low=1, high=10_000_000)
    val_pictures: int = setting(400, "validation pictures to draw", low=1, high=1_000_000)


@dataclass(kw_only=True)
class ShapesDataConfig(DataConfig):
    """The embedded data set: drawn scenes with five captions each. Nothing to fetch; it is drawn when needed."""

    name: str = setting("shapes", "what logs and caches call the data set", hyperparameter=True)
    format: str = setting("shapes", "how its captions are written down")
    root: str = setting("data/shapes", "the folder it is drawn into", on_resume="ignore", named=False)
    shapes: ShapesConfig = section(ShapesConfig, "what is drawn")

    @property
    def test_remedy(self) -> str:
        """None is drawn."""
        return "score val"


@dataclass(kw_only=True)
class ShardsConfig(DataConfig):
    """WebDataset's tar shards: `KEY.jpg` (or .png, .webp) or `KEY.npy` beside `KEY.txt` or `KEY.json`.

    Any data set becomes shards by `python -m showtell.data shards data=coco2017 --output data/shards`. Braces want two
    pairs of quotes on a command line: "data.train_shards='train-{000000..000331}.tar'".
    """

    name: str = setting("shards", "what logs and caches call the data set", hyperparameter=True)
    format: str = setting("shards", "how its captions are written down")
    root: str = setting("data/shards", "the folder that holds it", on_resume="ignore", named=False)
    train_shards: str | None = setting(
        "train-*.tar", "paths with {000000..000331}, * or ?; several are separated by ::"
    )
    val_shards: str | None = setting("val-*.tar", "the same for validation; small, it is unpacked")
    test_shards: str | None = setting(None, "the same for the test; null: there is none", **SCORED_ONLY)
    shuffle_buffer: int = setting(10_000, "captions among which the order is shuffled", low=1, high=10_000_000)

    @property
    def test_remedy(self) -> str:
        """Shards of its own are a test split."""
        return "" if self.test_shards is not None else "name its shards by data.test_shards=PATTERN"


declare("format", DataConfig, "showtell.data.formats.coco:CocoFormat")
declare("format", KarpathyConfig, "showtell.data.formats.karpathy:KarpathyFormat")
declare("format", FlickrConfig, "showtell.data.formats.flickr:FlickrFormat")
declare("format", FolderConfig, "showtell.data.formats.folder:FolderFormat")
declare("format", ShapesDataConfig, "showtell.data.formats.coco:ShapesFormat")
declare("format", ShardsConfig, "showtell.data.shards.shard_set:ShardSet")
