"""Layers that decoders share: words on their way in and out, regions with their place in the picture, an LSTM's cell.

Tied embeddings: input and output words share one matrix (Press and Wolf 2017, arXiv 1608.05859; Inan et al. 2017,
arXiv 1611.01462). A third of a small captioner's weights falls away, and rare words learn from both sides.

A convolution's features hardly tell where in the picture they lie, and attention sums over regions without order, so
"left of" would be lost. Every region is therefore told its place: sines and cosines of its row and column, through one
linear layer, are added to it (the two-dimensional form of Vaswani et al. 2017, arXiv 1706.03762, section 3.5; Xu et
al. do without). Pooled features count as a picture of one region. Shape legend: B batch, T words, R regions, D feature,
N rows, H hidden.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from showtell.config import DecoderConfig
from showtell.models.products import Linear
from showtell.models.settings import RegionsConfig
from showtell.text import END, START

FREQUENCIES = 3
CACHED_NUMBERS = 2**18


def attention_weights(energy: nn.Module, keys: Tensor, query: Tensor) -> Tensor:
    """Weights `(N, R)` by additive attention (Bahdanau et al. 2015) of queries `(N, A)` over keys `(P, R, A)`.

    Of each of the P pictures there are N / P queries, side by side. A processor takes six times as long for a tanh as
    for a sigmoid, and tanh(z) = 2 sigmoid(2 z) - 1, whose constant the softmax does not feel. So keys are given twice
    as large as they are, once per picture.
    """
    keys, queries = keys.unsqueeze(1), 2 * by_picture(query, keys).unsqueeze(2)
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or not keys.is_cpu:
        energies: Tensor = energy((keys + queries).sigmoid())
    else:  # a few pictures at a time: what lies between keys and energies stays in the processor's cache
        portion = max(1, CACHED_NUMBERS // (queries.shape[1] * keys[0].numel()))
        pairs = zip(torch.split(keys, portion), torch.split(queries, portion), strict=True)
        energies = torch.cat([energy((some + asked).sigmoid_()) for some, asked in pairs])
    weights = (2 * energies.squeeze(3)).softmax(dim=2)
    return weights.flatten(0, 1)


def mean_region(weights: Tensor, regions: Tensor) -> Tensor:
    """The mean `(N, D)` of regions `(P, R, D)` with weights `(N, R)`; of each picture N / P, side by side."""
    return torch.bmm(by_picture(weights, regions), regions).flatten(0, 1)


def by_picture(rows: Tensor, pictures: Tensor) -> Tensor:
    """Rows `(N, ...)` as `(P, N / P, ...)`, where `pictures` has P rows."""
    return rows.view(pictures.shape[0], -1, *rows.shape[1:])


def coverage_penalty(strength: float, weights: Tensor) -> Tensor:
    """Doubly stochastic attention's term (Xu et al. 2015, eq. 14), lambda sum_i (1 - sum_t alpha_ti)^2.

    Of weights `(B, T, R)`; per word, as cross-entropy is.
    """
    return strength * (1 - weights.sum(dim=1)).square().sum(dim=1).mean() / weights.shape[1]


class WordEmbedding(nn.Embedding):
    """Tokens to vectors, with `decoder.word_dropout`."""

    def __init__(self, config: DecoderConfig, vocabulary_size: int) -> None:
        super().__init__(vocabulary_size, config.embedding_size)
        self.dropout = nn.Dropout(config.dropout if config.word_dropout is None else config.word_dropout)
        if config.tie_embeddings:
            # as output words, vectors of length sqrt(E) would make every guess a certain one
            nn.init.normal_(self.weight, std=config.embedding_size**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embedded words, of tokens' shape with E as last dimension."""
        embedded: Tensor = self.dropout(super().forward(tokens))
        return embedded


class WordOutput(nn.Module):
    """Vectors of size `input_size` to logits, after `decoder.dropout`; tied to `words` where asked."""

    def __init__(self, config: DecoderConfig, input_size: int, words: WordEmbedding) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        inner = config.embedding_size if config.tie_embeddings else input_size
        self.project = Linear(input_size, inner) if inner != input_size else nn.Identity()
        self.output = Linear(inner, words.num_embeddings)
        if config.tie_embeddings:
            self.output.weight = words.weight

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.output(self.project(self.dropout(hidden)))
        return logits

    def cross_entropy(self, hidden: Tensor, captions: Tensor, label_smoothing: float) -> Tensor:
        """The mean over tokens `(B, T)` for vectors `(B, T, input_size)`, without ever holding all logits.

        Equal to that of all logits but for rounding; its gradients too.
        """
        given, targets, words = self.project(self.dropout(hidden)).flatten(0, 1), captions.flatten(), self.output
        # in float32: in mixed precision the sum would be rounded too
        with torch.autocast(given.device.type, enabled=False):
            given = given.float()
            loss: Tensor = nn.functional.linear_cross_entropy(
                given, words.weight, targets, linear_bias=words.bias, options=nn.LinearCrossEntropyOptions()
            )
            if label_smoothing:  # which torch does not do in pieces; it adds the truth's logit over the mean logit
                true = (given * nn.functional.embedding(targets, words.weight)).sum(1) + words.bias[targets]
                loss = loss + label_smoothing * (true - given @ words.weight.mean(0) - words.bias.mean()).mean()
        return loss


def given_words(captions: Tensor) -> Tensor:
    """What teacher forcing feeds for captions `(B, T)`: `<start>` and all but the last token."""
    return torch.cat([captions.new_full((len(captions), 1), START), captions[:, :-1]], dim=1)


def padded(captions: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens `(N, T)` with `<end>`s after each caption, and a mask that counts the first of them."""
    longest = max(len(caption) for caption in captions) + 1
    rows = [[*caption, *[END] * (longest - len(caption))] for caption in captions]
    lengths = torch.tensor([len(caption) + 1 for caption in captions], device=device)
    mask = torch.arange(longest, device=device) < lengths.unsqueeze(1)
    return torch.tensor(rows, device=device), mask.float()


def lstm_cell(sums: Sequence[Tensor], cell: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden and cell `(N, H)` from the sums `(N, H)` that enter the input, forget, output gate and the candidate."""
    enter, forget, leave, candidate = sums
    cell = forget.sigmoid() * cell + enter.sigmoid() * _tanh(candidate)
    return leave.sigmoid() * _tanh(cell), cell


def _tanh(numbers: Tensor) -> Tensor:
    """By a sigmoid where that is quicker (see `attention_weights`) and no gradient has to come through it."""
    if torch.is_grad_enabled() or not numbers.is_cpu:
        return numbers.tanh()
    return (2 * numbers).sigmoid_().mul_(2).sub_(1)


class Regions(nn.Module):
    """Features `(B, R, D)` or `(B, D)` to regions `(B, R, D')` that know their place.

    D' is `region_size`, or D where that is 0. Features are brought to one scale first (LayerNorm without parameters),
    which spares the user the choice of a learning rate per encoder.
    """

    def __init__(self, config: RegionsConfig, feature_size: int) -> None:
        super().__init__()
        self.size = config.region_size or feature_size
        self.normalize = nn.LayerNorm(feature_size, elementwise_affine=False)
        # one mask for all regions of a picture: what is hidden from one stays hidden, and masks cost next to nothing
        self.dropout = nn.Dropout1d(feature_dropout(config))
        self.project = Linear(feature_size, self.size) if config.region_size else nn.Identity()
        self.place = Linear(4 * FREQUENCIES, self.size, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Regions."""
        features = features.unsqueeze(1) if features.ndim == 2 else features
        seen = self.normalize(features)
        regions: Tensor = self.project(self.dropout(seen.transpose(1, 2)).transpose(1, 2))
        places: Tensor = self.place(grid_places(regions.shape[1]).to(regions))
        return regions + places


def grid_places(regions: int) -> Tensor:
    """Sines and cosines of each region's row and column, `(R, 4 * FREQUENCIES)`; the grid is as square as R allows."""
    rows, columns = grid_shape(regions)
    y, x = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij")
    angles = torch.stack([y.flatten(), x.flatten()], dim=1).unsqueeze(2) * math.pi * 2.0 ** torch.arange(FREQUENCIES)
    return torch.cat([angles.sin(), angles.cos()], dim=2).flatten(1)


def grid_shape(regions: int) -> tuple[int, int]:
    """Rows and columns of a grid of so many regions: the most square one."""
    rows = math.isqrt(regions)
    while regions % rows:
        rows -= 1
    return rows, regions // rows


def feature_dropout(config: DecoderConfig) -> float:
    """The dropout on features."""
    return config.dropout if config.feature_dropout is None else config.feature_dropout
