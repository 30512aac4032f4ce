"""What can be checked of the article's numbers, through `experiment=article`."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from showtell.config import Config, parse, register_with_hydra
from showtell.data.loading import LengthBatches
from showtell.models.decoders import build_decoder
from showtell.text import SPECIAL_TOKENS, Vocabulary

CONF = Path(__file__).resolve().parents[1] / "conf"


@pytest.fixture(scope="module")
def article() -> Config:
    register_with_hydra()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return parse(compose("config", ["experiment=article"]))


def test_hyper_parameters(article: Config) -> None:
    decoder, training = article.decoder, article.training
    assert (decoder.embedding_size, decoder.hidden_size, decoder.num_layers, decoder.dropout) == (256, 100, 1, 0.0)
    assert (training.batch_size, training.learning_rate, training.max_epochs) == (200, 1e-3, 3)
    assert (article.encoder.name, article.vocab.threshold) == ("resnet50", 4)


def test_parameter_counts(article: Config) -> None:
    words = 9955
    decoder = build_decoder(article.decoder, (2048,), words)
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in decoder.named_children()}
    assert counts["image_embedding"] == 2048 * 256 + 256
    assert counts["word_embedding"] == words * 256
    assert counts["lstm"] == 4 * 100 * (256 + 100 + 2)
    assert counts["output"] == words * (100 + 1)


def test_vocabulary_rule(article: Config) -> None:
    counts = Counter({"cat": 4, "dog": 3, "a": 90, "on": 4})
    vocabulary = Vocabulary.from_counts(counts, article.vocab.threshold)
    assert vocabulary.words == [*SPECIAL_TOKENS, "a", "cat", "on"]


def test_steps_per_epoch(article: Config) -> None:
    lengths = np.random.default_rng(0).poisson(10, size=41_411) + 5
    batches = LengthBatches(np.arange(len(lengths)), lengths, article.training.batch_size, seed=1)
    fewest = math.ceil(len(lengths) / 200)
    assert fewest <= len(batches) <= fewest + len(set(lengths.tolist()))
