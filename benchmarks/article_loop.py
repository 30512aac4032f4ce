"""Figures: one epoch of flickr800 (3,500 captions, ResNet50), the article's loop over Showtell's, store warm and cold.

    PYTHONPATH=src python benchmarks/article_loop.py [--data DIR] [--steps 1] [--batch 200]

The article's loop in our own words. Every step draws a caption length as often as captions have it, looks through all
captions for those of this length, draws a batch of them with replacement, tokenizes each, opens and resizes each one's
picture (to one size, without which the batch cannot be stacked), and sends all through ResNet50, whose weights are
frozen and whose BatchNorms are left in training mode. Then linear layer, LSTM, cross-entropy, Adam. All steps of an
epoch cost the same, so a few are measured and multiplied.

Showtell's epoch is the training part of the second epoch of a real run with the same sizes (hidden 100, embedding 256,
batch 200); cold adds building the store for all 700 training pictures, measured on the first 48 and multiplied.
CPU time of the process and its children, with one thread. Random weights: the values do not matter here.
"""

import argparse
import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nltk
import pytorch_lightning as pl
import torch
from machine import DATA, at_least, cpu
from PIL import Image
from pytorch_lightning.callbacks import Callback
from torch import nn
from torchvision import models, transforms

import showtell.training.train as training
from showtell.config import parse
from showtell.data.features.request import StoreRequest
from showtell.data.features.store import open_or_build
from showtell.models.encoders.encoding import FastEncoder, FrozenEncoder

EMBEDDING, HIDDEN, BUILT = 256, 100, 48


class ArticleLoop:
    """The article's training as its readers run it."""

    def __init__(self, folder: Path, batch_size: int) -> None:
        content = json.loads((folder / "captions_train.json").read_text(encoding="utf-8"))
        names = {image["id"]: next(folder.rglob(image["file_name"])) for image in content["images"]}
        self.paths = [names[annotation["image_id"]] for annotation in content["annotations"]]
        self.texts = [annotation["caption"] for annotation in content["annotations"]]
        self.lengths = [len(self.tokens(text)) for text in self.texts]
        words = sorted({word for text in self.texts for word in self.tokens(text)})
        self.vocabulary = {word: number for number, word in enumerate(["<start>", "<end>", "<unk>", *words[:900]])}
        self.batch_size = batch_size
        self.resnet = models.resnet50(weights=None).requires_grad_(False).train()
        self.resnet.fc = nn.Identity()
        self.image, self.words = nn.Linear(2048, EMBEDDING), nn.Embedding(len(self.vocabulary), EMBEDDING)
        self.lstm, self.output = nn.LSTM(EMBEDDING, HIDDEN, batch_first=True), nn.Linear(HIDDEN, len(self.vocabulary))
        trained = [p for part in (self.image, self.words, self.lstm, self.output) for p in part.parameters()]
        self.adam = torch.optim.Adam(trained, lr=1e-3)
        self.transform = transforms.Compose(
            [
                transforms.Resize((224, 224)),
                transforms.ToTensor(),
                transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    @staticmethod
    def tokens(text: str) -> list[str]:
        """A caption's words."""
        return list(nltk.word_tokenize(text.lower(), preserve_line=True))

    def item(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels and tokens of a caption."""
        with Image.open(self.paths[row]) as picture:
            pixels = self.transform(picture.convert("RGB"))
        numbers = [self.vocabulary.get(word, 2) for word in self.tokens(self.texts[row])]
        return pixels, torch.tensor([0, *numbers, 1])

    def step(self) -> None:
        """One step of training."""
        wanted = random.choice(self.lengths)
        rows = [row for row, length in enumerate(self.lengths) if length == wanted]
        items = [self.item(row) for row in random.choices(rows, k=self.batch_size)]
        pixels, captions = (torch.stack(part) for part in zip(*items, strict=True))
        first = self.image(self.resnet(pixels)).unsqueeze(1)
        hidden, _ = self.lstm(torch.cat([first, self.words(captions[:, :-1])], dim=1))
        loss = nn.functional.cross_entropy(self.output(hidden).flatten(0, 1), captions.flatten())
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()


class SecondEpoch(Callback):
    """CPU time of the training steps of the second epoch."""

    def __init__(self) -> None:
        self.began = self.spent = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Starts the clock."""
        self.began = cpu()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """The last call of the second epoch counts."""
        if trainer.current_epoch == 1:
            self.spent = cpu() - self.began


def ours(folder: Path, batch_size: int, root: Path) -> tuple[float, float]:
    """Showtell's epoch, and building the store for it."""
    first = next(folder.rglob("*.jpg"))
    config = parse(
        {
            "data": {
                "name": "flickr800", "format": "coco", "root": str(folder), "num_workers": 0,
                "train_annotations": "captions_train.json", "val_annotations": "captions_val.json",
                "train_images": str(first.parent), "val_images": str(first.parent),
            },
            "encoder": {"name": "resnet50", "weights": "none"},
            "decoder": {"embedding_size": EMBEDDING, "hidden_size": HIDDEN},
            "device": {"accelerator": "cpu"},
            "training": {"batch_size": batch_size, "max_epochs": 2, "sample_pictures": 0, "val_pictures": 5},
            "cache": str(root / "cache"),
        }
    )  # fmt: skip
    frozen = FrozenEncoder(config)
    paths = sorted(folder.rglob("*.jpg"))[:BUILT]
    encoder = FastEncoder(frozen.network, torch.device("cpu"), frozen.precision)
    began = cpu()
    request = StoreRequest("part", paths, "random", frozen.weights.transform, "float16")
    open_or_build(root, request, lambda: encoder, config.features.batch_size, 0)
    building = (cpu() - began) / len(paths)
    second, reports = SecondEpoch(), training.reports
    training.reports = lambda *args: [*reports(*args), second]  # type: ignore[assignment]
    # the epoch reads features of the right shape, whatever they are
    FrozenEncoder.at_work = lambda self: NoEncoder()  # type: ignore[assignment, method-assign, return-value]
    training.train(config, root / "run")
    return second.spent, building


class NoEncoder:
    """Fills the store of the second part without waiting for it."""

    feature_shape = (2048,)

    def __call__(self, pixels: torch.Tensor, /) -> torch.Tensor:
        """Some numbers of the picture."""
        return pixels.flatten(1)[:, :2048].contiguous()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA / "flickr800")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--batch", type=int, default=200)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as root:
        epoch, building = ours(args.data, args.batch, Path(root))
    loop = ArticleLoop(args.data, args.batch)
    began = cpu()
    for _ in range(args.steps):
        loop.step()
    article = (cpu() - began) / args.steps / args.batch * len(loop.texts)
    pictures = len(set(loop.paths))
    print(f"article: {article:.0f} s an epoch, {len(loop.texts) / article:.1f} captions/s")
    print(
        f"Showtell: {epoch:.2f} s an epoch, {len(loop.texts) / epoch:.0f} captions/s; store {building * pictures:.0f} s, "
        f"{1 / building:.1f} pictures/s"
    )
    at_least("epoch of flickr800, article's loop over Showtell, store warm", round(article / epoch), 250, "x")
    cold = article / (epoch + building * pictures)
    at_least("epoch of flickr800, article's loop over Showtell, store cold", round(cold, 1), 10, "x")


if __name__ == "__main__":
    main()
