"""Which archives make a data set, where they lie, and under which terms.

The checksum decides what is right; sizes are for messages and for the room that is needed on the disk.
"""

from dataclasses import dataclass, field

from showtell.data.fetch.download import Remote

_COCO = "http://images.cocodataset.org"
_COCO_TERMS = (
    "captions: CC BY 4.0; pictures: each under its own Creative Commons licence and Flickr's terms of use "
    "(cocodataset.org, Terms of use)"
)
_FLICKR8K = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k"
_FLICKR_TERMS = "for non-commercial research and education; the pictures are their authors' on Flickr"


@dataclass(frozen=True)
class Archive(Remote):
    """A zip file.

    Attributes:
        holds: what it unpacks to, relative to the data set's root: files (0) and folders with how many files.
        unpacked_bytes: how large that is; 0: as large as the archive.
    """

    holds: dict[str, int] = field(default_factory=dict)
    unpacked_bytes: int = 0

    @property
    def room(self) -> int:
        """Bytes that its content takes."""
        return self.unpacked_bytes or self.num_bytes


@dataclass(frozen=True)
class PublicSet:
    """A data set that can be fetched.

    Attributes:
        terms: its licence, in a line.
        archives: what is fetched.
        data: the option of the group `data` that reads it; its root is where it goes by default.
        described: whether there are captions to check.
    """

    terms: str
    archives: tuple[Archive, ...]
    data: str
    described: bool = True


def _pictures(name: str, num_bytes: int, md5: str, count: int) -> Archive:
    return Archive(f"{_COCO}/zips/{name}.zip", num_bytes, f"md5:{md5}", {name: count})


def _captions(year: int, num_bytes: int, md5: str, unpacked: int) -> Archive:
    files = {f"annotations/captions_{split}{year}.json": 0 for split in ("train", "val")}
    url = f"{_COCO}/annotations/annotations_trainval{year}.zip"
    return Archive(url, num_bytes, f"md5:{md5}", files, unpacked)


def _image_info(year: int, num_bytes: int, md5: str, unpacked: int) -> Archive:
    url = f"{_COCO}/annotations/image_info_test{year}.zip"
    files = {f"annotations/image_info_test{year}.json": 0}
    return Archive(url, num_bytes, f"md5:{md5}", files, unpacked)


_TRAIN2014 = _pictures("train2014", 13_510_573_713, "0da8c0bd3d6becc4dcb32757491aca88", 82_783)
_VAL2014 = _pictures("val2014", 6_645_013_297, "a3d79f5ed8d289b7a7554ce06a5782b3", 40_504)

PUBLIC_SETS = {
    "coco2017": PublicSet(
        _COCO_TERMS,
        (
            _captions(2017, 252_907_541, "f4bbac642086de4f52a3fdda2de5fa2c", 850_000_000),
            _pictures("val2017", 815_585_330, "442b8da7639aecaf257c1dceb8ba8c80", 5_000),
            _pictures("train2017", 19_336_861_798, "cced6f7f71b7629ddf16f17bbcfab6b2", 118_287),
        ),
        "coco2017",
    ),
    "coco2014": PublicSet(
        _COCO_TERMS,
        (
            _captions(2014, 252_872_794, "0a379cfc70b0e71301e0f377548639bd", 850_000_000),
            _VAL2014,
            _TRAIN2014,
        ),
        "coco2014",
    ),
    "karpathy": PublicSet(
        f"{_COCO_TERMS}; splits: Karpathy and Fei-Fei 2015",
        (
            Archive(
                "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip",
                36_745_453,
                "sha256:4cfd70132527b80933105e5829dc9034eaab9573482e2e680abbab6130244817",
                {"dataset_coco.json": 0},
                192_000_000,
            ),
            _VAL2014,
            _TRAIN2014,
        ),
        "karpathy",
    ),
    "flickr8k": PublicSet(
        _FLICKR_TERMS,
        (
            Archive(
                f"{_FLICKR8K}/Flickr8k_text.zip",
                2_340_801,
                "md5:bf6c1abcb8e4a833b7f922104de18627",
                {"Flickr8k.token.txt": 0, "Flickr_8k.trainImages.txt": 0, "Flickr_8k.devImages.txt": 0},
                10_000_000,
            ),
            Archive(
                f"{_FLICKR8K}/Flickr8k_Dataset.zip",
                1_115_419_746,
                "md5:f18a1e2920de5bd84dae7cf08ec78978",
                {"Flicker8k_Dataset": 8_091},
            ),
        ),
        "flickr8k",
    ),
    "coco2014-test": PublicSet(
        _COCO_TERMS,
        (
            _image_info(2014, 763_464, "25304cbbafb2117fb801c0f7218fdbba", 7_000_000),
            _pictures("test2014", 6_660_437_059, "04127eef689ceac55e3a572c2c92f264", 40_775),
        ),
        "coco2014",
        described=False,
    ),
    "coco2017-test": PublicSet(
        _COCO_TERMS,
        (
            _image_info(2017, 1_144_034, "85da7065e5e600ebfee8af1edb634eb5", 8_000_000),
            _pictures("test2017", 6_646_970_404, "77ad2c53ac5d0aea611d422c0938fb35", 40_670),
        ),
        "coco2017",
        described=False,
    ),
}

ON_REQUEST = {
    "flickr30k": "its authors give the pictures out on request (University of Illinois, Denotation Graph page); "
    "unpack them to data/flickr30k, then `python -m showtell.data check data=flickr30k`",
    "vizwiz": "fetch the pictures and captions from vizwiz.org; docs/data.md says what must lie where",
    "nocaps": "fetch captions and pictures from nocaps.org; docs/data.md says what must lie where",
    "textcaps": "fetch captions and pictures from textvqa.org/textcaps; docs/data.md says what must lie where",
    "cc3m": "its captions are at ai.google.com/research/ConceptualCaptions, its pictures wherever they lie on the web; "
    "docs/scaling.md says how shards of them are read",
}
