"""The article's numbers, as docs/article.md lists them, and its decoder beside ours.

The article's modules stand here in our own words: an encoder that ends in a linear layer, and an LSTM whose first input
is the picture. What needs COCO's train2014 runs where `SHOWTELL_COCO2014` names a folder with its annotations.
"""

import inspect
import json
import math
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, layer_norm
from torchvision import models

from showtell.config import Config, parse, register_with_hydra
from showtell.data.caption_set import load_captions
from showtell.data.images import prepare, read_picture
from showtell.data.loading import LengthBatches
from showtell.decoding import decode
from showtell.models.decoders.base import Decoder, build_decoder
from showtell.models.decoders.lstm import LSTMDecoder
from showtell.models.encoders import Encoder, build_encoder
from showtell.models.encoders.torchvision import TorchvisionBackbone
from showtell.models.module import CaptionModule
from showtell.models.objective import token_cross_entropy
from showtell.models.settings import LSTMConfig
from showtell.objectives.cross_entropy import CrossEntropy
from showtell.text import END, SPECIAL_TOKENS, START, UNK, Vocabulary

ROOT = Path(__file__).resolve().parents[1]
WORDS, CAPTIONS, BATCH, EPOCHS = 7072, 414_113, 200, 4
COCO2014 = os.environ.get("SHOWTELL_COCO2014")
needs_coco2014 = pytest.mark.skipif(not COCO2014, reason="SHOWTELL_COCO2014 names no folder with COCO's train2014")


class ArticleDecoder(nn.Module):
    """Part 7: the picture is the first input; what follows it is scored from the first step on, `<start>` included."""

    def __init__(self, embed_size: int, hidden_size: int, vocab_size: int) -> None:
        super().__init__()
        self.word_embedding = nn.Embedding(vocab_size, embed_size)
        self.lstm = nn.LSTM(embed_size, hidden_size, 1, batch_first=True)
        self.fc = nn.Linear(hidden_size, vocab_size)

    def forward(self, image: Tensor, captions: Tensor) -> Tensor:
        """Of images `(B, E)` and captions `(B, T)` from `<start>` to `<end>`: logits `(B, T, V)`."""
        words = self.word_embedding(captions[:, :-1])
        hidden, _ = self.lstm(torch.cat([image.unsqueeze(1), words], dim=1))
        logits: Tensor = self.fc(hidden)
        return logits

    def predict(self, image: Tensor) -> list[int]:
        """At most 20 tokens for one image `(E,)`, each the likeliest, `<end>` last if it comes."""
        given, state, said = image.view(1, 1, -1), None, []
        while len(said) < 20 and END not in said:
            hidden, state = self.lstm(given, state)
            said.append(int(self.fc(hidden).argmax()))
            given = self.word_embedding(torch.tensor([[said[-1]]]))
        return said


def sentence(said: list[int]) -> list[int]:
    """Part 9: the first and the last token are cut off."""
    return said[1:-1]


class Article:
    """The article's trained part, and ours with the same weights."""

    def __init__(self, embed_size: int, hidden_size: int, vocab_size: int, feature_size: int) -> None:
        torch.manual_seed(0)
        self.embed = nn.Linear(feature_size, embed_size)
        self.decoder = ArticleDecoder(embed_size, hidden_size, vocab_size)
        config = LSTMConfig(embedding_size=embed_size, hidden_size=hidden_size)
        self.ours = LSTMDecoder(config, feature_size, vocab_size)

    def logits(self, features: Tensor, captions: Tensor) -> Tensor:
        """Of features that were brought to one scale, which is our deviation."""
        logits: Tensor = self.decoder(self.embed(layer_norm(features, features.shape[1:])), captions)
        return logits

    def hand_over(self) -> LSTMDecoder:
        """Ours, with the article's weights."""
        renamed = {f"image_embedding.{name}": value for name, value in self.embed.state_dict().items()}
        for name, value in self.decoder.state_dict().items():
            renamed[name.replace("fc.", "output.output.")] = value
        self.ours.load_state_dict(renamed)
        return self.ours.eval()

    def train(self, features: Tensor, captions: Tensor, steps: int) -> None:
        """Part 8's step: Adam on decoder and image layer, cross-entropy over all tokens."""
        adam = torch.optim.Adam([*self.decoder.parameters(), *self.embed.parameters()], lr=0.02)
        for _ in range(steps):
            adam.zero_grad()
            cross_entropy(self.logits(features, captions).flatten(0, 1), captions.flatten()).backward()
            adam.step()


@pytest.fixture(scope="module")
def recipe() -> Config:
    register_with_hydra()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return parse(compose("config", ["experiment=article"]))


@pytest.fixture(scope="module")
def resnet50(recipe: Config) -> Encoder:
    settings = {**vars(recipe.encoder), "weights": "none"}
    return build_encoder(type(recipe.encoder)(**settings))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_hyper_parameters(recipe: Config) -> None:
    decoder, training = recipe.decoder, recipe.training
    assert (decoder.name, decoder.embedding_size, decoder.hidden_size, decoder.num_layers) == ("lstm", 256, 100, 1)
    assert (training.batch_size, training.learning_rate, training.max_epochs) == (BATCH, 1e-3, EPOCHS)
    assert (recipe.vocab.threshold, recipe.decoding.method, recipe.decoding.max_length) == (8, "greedy", 18)
    encoder = recipe.encoder
    assert (encoder.name, encoder.weights, encoder.image_size) == ("resnet50", "IMAGENET1K_V1", 256)


def test_nothing_is_added_that_the_article_has_not(recipe: Config) -> None:
    decoder, training = recipe.decoder, recipe.training
    assert not (decoder.dropout or decoder.word_dropout or decoder.feature_dropout or decoder.tie_embeddings)
    assert (training.schedule, training.warmup_steps, training.weight_decay) == ("constant", 0, 0.0)
    assert not (training.gradient_clip or training.weight_average or recipe.data.augment.active)
    assert recipe.objective.label_smoothing == recipe.objective.scheduled_sampling == 0  # type: ignore[attr-defined]


def test_parameter_counts(recipe: Config) -> None:
    theirs, image = ArticleDecoder(256, 100, WORDS), nn.Linear(2048, 256)
    ours = build_decoder(recipe.decoder, (2048,), WORDS)
    assert count(ours.get_submodule("word_embedding")) == count(theirs.word_embedding) == 1_810_432
    assert count(ours.get_submodule("image_embedding")) == count(image) == 524_544
    assert count(ours.get_submodule("lstm")) == count(theirs.lstm) == 143_200
    assert count(ours.get_submodule("output")) == count(theirs.fc) == 714_272
    assert count(theirs) == 2_667_904
    assert count(ours) == count(theirs) + count(image) == 3_192_448


def test_adam_trains_decoder_and_image_layer_alone(recipe: Config, resnet50: Encoder) -> None:
    ours = build_decoder(recipe.decoder, (2048,), WORDS)
    words = Vocabulary([*SPECIAL_TOKENS, *(f"word{i}" for i in range(WORDS - 3))])
    module = CaptionModule(resnet50, ours, words, CrossEntropy(), training=recipe.training)
    (group,) = (adam := module.configure_optimizers()).param_groups
    assert type(adam) is torch.optim.Adam
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (1e-3, (0.9, 0.999), 1e-8, 0)
    assert len(group["params"]) == 9 and sum(p.numel() for p in group["params"]) == 3_192_448


def test_resnet50_without_its_last_layer_is_frozen(resnet50: Encoder) -> None:
    whole = models.resnet50(weights=None)
    assert count(resnet50) == count(nn.Sequential(*list(whole.children())[:-1])) == 23_508_032
    assert not any(parameter.requires_grad for parameter in resnet50.train().parameters())
    assert not any(module.training for module in resnet50.modules())
    assert resnet50.feature_shape() == (whole.fc.in_features,) == (2048,)


def test_pictures_are_normalized_as_imagenet(recipe: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of the weights only the transform is asked; nothing is fetched."""
    (tmp_path / "file").touch()
    monkeypatch.setattr("showtell.models.encoders.torchvision.download", lambda *_: tmp_path / "file")
    found = TorchvisionBackbone(recipe.encoder).published()
    assert found is not None and found.transform.interpolation == "bilinear"
    assert (found.transform.mean, found.transform.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_every_picture_has_one_shape(resnet50: Encoder, tiny_coco: Path) -> None:
    assert resnet50.transform.size == 256
    pixels = [prepare(read_picture(path), resnet50.transform) for path in sorted((tiny_coco / "val").iterdir())]
    assert {tuple(one.shape) for one in pixels} == {(3, 256, 256)}
    assert resnet50.trunk(torch.stack(pixels[:1])).shape == (1, 2048, 8, 8)


def test_vocabulary_rule(recipe: Config) -> None:
    counts = Counter({"cat": 8, "dog": 7, "a": 90, "on": 9})
    words = Vocabulary.from_counts(counts, recipe.vocab.threshold).words
    assert words == [*SPECIAL_TOKENS, "a", "on", "cat"]
    assert (words.index("<start>"), words.index("<end>"), words.index("<unk>")) == (START, END, UNK) == (0, 1, 2)


def test_steps_per_epoch(recipe: Config) -> None:
    assert math.ceil(CAPTIONS / BATCH) == 2071 and EPOCHS * 2071 == 8284
    lengths = np.random.default_rng(0).poisson(5, size=CAPTIONS) + 7
    batches = LengthBatches(np.arange(CAPTIONS), lengths, recipe.training.batch_size, seed=1)
    assert 2071 <= len(batches) <= 2071 + len(set(lengths.tolist()))
    assert sorted(np.concatenate(batches.epoch(0)).tolist()) == list(range(CAPTIONS))


def test_drawing_with_replacement_leaves_out_more_than_a_third() -> None:
    """The share of captions that an epoch of the article's never shows, e^-1 for the common lengths."""
    random = np.random.default_rng(0)
    lengths = random.poisson(5, size=CAPTIONS) + 7
    rows = {length: np.flatnonzero(lengths == length) for length in np.unique(lengths)}
    drawn = [random.choice(rows[random.choice(lengths)], size=BATCH) for _ in range(2071)]
    assert 1 - len(np.unique(np.concatenate(drawn))) / CAPTIONS == pytest.approx(math.exp(-1), abs=0.01)


FEATURES = torch.randn(4, 6, generator=torch.Generator().manual_seed(1)) * 3 + 1
TAUGHT = torch.tensor([[START, 3, 4, 5, END], [START, 6, 7, 4, END], [START, 3, 8, 8, END], [START, 5, UNK, 3, END]])


def test_the_decoder_gives_the_articles_logits_for_every_word() -> None:
    article = Article(embed_size=16, hidden_size=12, vocab_size=9, feature_size=6)
    ours = article.hand_over()
    theirs = article.logits(FEATURES, TAUGHT)
    assert theirs.shape == (4, 5, 9)
    torch.testing.assert_close(ours(FEATURES, TAUGHT[:, 1:]), theirs[:, 1:], atol=1e-6, rtol=1e-5)
    word_by_word = Decoder.forward(ours, FEATURES, TAUGHT[:, 1:])
    torch.testing.assert_close(word_by_word, theirs[:, 1:], atol=1e-6, rtol=1e-5)


def test_the_loss_is_the_articles_without_the_start() -> None:
    """The article's mean counts the step that says `<start>`, which it soon knows: its loss looks smaller."""
    article = Article(embed_size=16, hidden_size=12, vocab_size=9, feature_size=6)
    article.train(FEATURES, TAUGHT, steps=20)
    theirs = article.logits(FEATURES, TAUGHT)
    whole, start = cross_entropy(theirs.flatten(0, 1), TAUGHT.flatten()), cross_entropy(theirs[:, 0], TAUGHT[:, 0])
    ours = token_cross_entropy(article.hand_over()(FEATURES, TAUGHT[:, 1:]), TAUGHT[:, 1:])
    torch.testing.assert_close(ours, (5 * whole - start) / 4)
    assert start < whole < ours


def test_trained_as_the_article_says_it_captions_as_the_articles(recipe: Config) -> None:
    article = Article(embed_size=16, hidden_size=12, vocab_size=9, feature_size=6)
    article.train(FEATURES, TAUGHT, steps=150)
    said = [article.decoder.predict(image) for image in article.embed(layer_norm(FEATURES, (6,)))]
    assert said == TAUGHT.tolist()  # step 0 says <start>, and the fourth caption has an <unk>
    ours = article.hand_over()
    found = [list(best.tokens) for best, *_ in decode(ours.step, ours.initial_state(FEATURES), recipe.decoding)]
    assert found[:3] == [sentence(one) for one in said[:3]] == TAUGHT[:3, 1:-1].tolist()
    assert UNK in sentence(said[3]) and UNK not in found[3]


def test_only_a_caption_that_does_not_end_loses_a_word(recipe: Config) -> None:
    article = Article(embed_size=16, hidden_size=12, vocab_size=9, feature_size=6)
    endless = torch.cat([TAUGHT[:1, :1], torch.tensor([[3, 4]]).repeat(1, 12)], dim=1)
    article.train(FEATURES[:1], endless, steps=150)
    (image,) = article.embed(layer_norm(FEATURES[:1], (6,)))
    said = article.decoder.predict(image)
    assert len(said) == 20 and END not in said and len(sentence(said)) == 18
    ours = article.hand_over()
    ((best, *_),) = decode(ours.step, ours.initial_state(FEATURES[:1]), recipe.decoding)
    assert list(best.tokens) == sentence(said)


def test_the_page_lists_every_number_with_a_test_that_is_there() -> None:
    page = (ROOT / "docs" / "article.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| .+ \| `(test_\w+)` \|$", page, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1)) and len(rows) >= 15
    here = {name for name, one in globals().items() if name.startswith("test_") and inspect.isfunction(one)}
    assert {name for _, name in rows} <= here


@needs_coco2014
def test_steps_per_epoch_of_train2014(recipe: Config, tmp_path: Path) -> None:
    annotations = json.loads((Path(str(COCO2014)) / recipe.data.train_annotations).read_text())["annotations"]
    assert len(annotations) == CAPTIONS and math.ceil(len(annotations) / BATCH) == 2071


@needs_coco2014
def test_vocabulary_of_train2014(recipe: Config, tmp_path: Path) -> None:
    """Without nltk's sentence model some hundred captions are cut otherwise, so a few rare words may differ."""
    recipe.data.root = str(COCO2014)
    found = load_captions(recipe.data, "train", tmp_path)
    assert found.lengths.max() < recipe.data.max_caption_words
    assert len(Vocabulary.from_counts(found.counts, 8)) == pytest.approx(WORDS, abs=20)
