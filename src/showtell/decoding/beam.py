"""Beam search over a batch of pictures, with finished captions kept apart, and its diverse variant in groups.

In every step the beams of a picture compete: of all their continuations the `beam_size` with the highest
log-probability survive. Those that end in `<end>` move to the picture's finished list, which keeps the best
`num_captions` by length-normalised score; the others stay live and share `beam_size` places again in the next step.
With one beam this is greedy decoding; with enough beams nothing is ever dropped and it is exhaustive search.

Score: log-probability / (words + 1)^length_penalty, where the 1 is `<end>`. 0 compares probabilities and favours short
captions, 1 compares means per word.

When a picture may stop. Let K be the number of captions kept, f the score of the worst kept one (-infinity while fewer
than K have finished), l the largest log-probability of a live beam, a >= 0 the length penalty and L = max_length + 1.
Claim: once f >= l / L^a, no later caption enters the list.
Proof: a caption that a live beam turns into has log-probability q <= l, because further words add log-probabilities
<= 0, and n <= L words with `<end>`. As q <= 0 and n^a <= L^a, its score is q / n^a <= q / L^a <= l / L^a <= f; and a
newcomer must beat f, since ties are won by the caption that finished first. Addition, and division by one number, are
monotone in floating point as well, so the claim holds for the numbers computed here.
Without a look at the decoder the bound cannot be lowered: a live beam whose remaining words are all certain reaches
it. Stopping at K finished captions, as is often done, is not safe: a live beam may still overtake them for any a > 0
and, with more than one beam, for a = 0 too.

Groups (Vijayakumar et al. 2016, arXiv 1610.02424): the beams are divided into `groups`, each a beam search of its own.
Within a step the groups choose one after the other, and a word, `<end>` included, that beams of earlier groups have
just chosen loses `diversity` per such beam (Hamming diversity). The handicap rules the choice only: log-probabilities
and scores stay the decoder's. Groups depend on each other, so a picture stops when all its groups may.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from showtell.config import DecodingConfig
from showtell.decoding.constraints import FORBIDDEN, allowed_logits
from showtell.decoding.hypothesis import (
    Hypothesis,
    State,
    StepFunction,
    complete,
    log_normalizer,
    repeat_rows,
    select_rows,
    split_state,
)
from showtell.text import END, START

CACHED_ROWS = 64


@dataclass
class _Captions:
    """Captions of P pictures in G groups; an empty place has key -infinity.

    keys (P, G, W): log-probabilities of live captions, scores of finished ones; tokens and summands: (P, G, W, T).
    """

    keys: Tensor
    tokens: Tensor
    log_probs: Tensor

    def pick(self, places: Tensor) -> "_Captions":
        """The captions at the given places (P, G, W') of the third dimension."""
        long = places.unsqueeze(3).expand(-1, -1, -1, self.tokens.shape[3])
        return _Captions(self.keys.gather(2, places), self.tokens.gather(2, long), self.log_probs.gather(2, long))

    def of_pictures(self, pictures: Tensor) -> "_Captions":
        return _Captions(self.keys[pictures], self.tokens[pictures], self.log_probs[pictures])


def beam_search(
    step: StepFunction, state: State, config: DecodingConfig, *, early_stop: bool = True
) -> list[list[Hypothesis]]:
    """Per picture up to `num_captions` different captions, best first; fewer only where the rules leave fewer.

    The state has one row per picture. Without `early_stop` every picture runs to `max_length`, for tests: the same
    captions, later.
    """
    pictures, device = state[0].shape[0], state[0].device
    width = config.beam_size // config.groups
    live = _nothing(pictures, config.groups, 1, device, key=0.0)
    finished = _nothing(pictures, config.groups, min(width, config.num_captions), device, key=FORBIDDEN)
    results: list[list[Hypothesis]] = [[] for _ in range(pictures)]
    waiting = torch.arange(pictures, device=device)
    state, seen = split_state(step, state)
    state, tokens = repeat_rows(state, config.groups), torch.full((pictures * config.groups,), START, device=device)
    for _ in range(config.max_length + 1):
        logits, state = step(tokens, state + seen)
        state, seen = split_state(step, state)
        live, parents = _extend(logits.float(), live, config)
        live, finished = _part(live, finished, config)
        settled = _settled(live, finished, config, early_stop)
        if settled.any():
            done = finished.of_pictures(settled.nonzero().squeeze(1))
            for picture, captions in zip(waiting[settled].tolist(), _read(done, config), strict=True):
                results[picture] = captions
            left = (~settled).nonzero().squeeze(1)
            live, finished = live.of_pictures(left), finished.of_pictures(left)
            waiting, parents, seen = waiting[left], parents[left], select_rows(seen, left)
        if len(waiting) == 0:
            break
        # cloned: a compiled step would be compiled anew for each place in the captions
        state, tokens = select_rows(state, parents.flatten()), live.tokens[..., -1].flatten().clone()
    return results


def _nothing(pictures: int, groups: int, width: int, device: torch.device, *, key: float) -> _Captions:
    keys = torch.full((pictures, groups, width), key, device=device)
    tokens = torch.full((pictures, groups, width, 0), END, device=device)
    return _Captions(keys, tokens, torch.zeros((pictures, groups, width, 0), device=device))


def _extend(logits: Tensor, live: _Captions, config: DecodingConfig) -> tuple[_Captions, Tensor]:
    """The survivors of each picture, one word longer, and the rows (P, G, W) of the state that they continue."""
    pictures, groups, width = live.keys.shape
    logits = logits.view(pictures, groups, width, -1)
    # on a CPU a few pictures at a time: what is computed of their logits then stays in the cache
    portion = max(1, CACHED_ROWS // (groups * width)) if logits.device.type == "cpu" else pictures
    first, second, third = (torch.split(x, portion) for x in (logits, live.tokens, live.keys))
    parts = zip(first, second, third, strict=True)
    choices = [_choose(some, history, totals, config) for some, history, totals in parts]
    parents, words, summands = (torch.cat(column) for column in zip(*choices, strict=True))
    kept = live.pick(parents)
    first_rows = torch.arange(0, pictures * groups * width, width, device=logits.device).view(pictures, groups, 1)
    extended = _Captions(
        kept.keys + summands,
        torch.cat([kept.tokens, words.unsqueeze(3)], dim=3),
        torch.cat([kept.log_probs, summands.unsqueeze(3)], dim=3),
    )
    return extended, first_rows + parents


def _choose(logits: Tensor, history: Tensor, totals: Tensor, config: DecodingConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Group by group, the best continuations: parent beams, words and their log-probabilities, each (P, G, W').

    Logits are (P, G, W, V), the words so far (P, G, W, T), the beams' log-probabilities (P, G, W).
    """
    normalizer = log_normalizer(logits)
    allowed = allowed_logits(logits.flatten(0, 2), history.flatten(0, 2), config).view_as(logits)
    chosen = [_compete(allowed[:, 0], normalizer[:, 0], totals[:, 0], config)]
    handicaps = torch.zeros_like(allowed[:, 0, 0])
    for group in range(1, config.groups):
        _, words, summands = chosen[-1]
        # an empty place has nothing but forbidden words to choose from
        handicaps.scatter_add_(1, words, (summands > FORBIDDEN) * config.diversity)
        chosen.append(_compete(allowed[:, group], normalizer[:, group], totals[:, group], config, handicaps))
    parents, words, summands = (torch.stack(column, dim=1) for column in zip(*chosen, strict=True))
    return parents, words, summands


def _compete(
    allowed: Tensor, normalizer: Tensor, totals: Tensor, config: DecodingConfig, handicaps: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The same for one group: logits (P, W, V), normalizer (P, W, 1), totals (P, W), handicaps (P, V)."""
    places = config.beam_size // config.groups
    values = allowed if handicaps is None else allowed - handicaps.unsqueeze(1)
    values, words = (x.view(*totals.shape, -1) for x in best(values.flatten(0, 1), places))
    keys = totals.unsqueeze(2) + (values - normalizer)
    _, winners = best(keys.flatten(1), places)
    parents = winners.div(words.shape[2], rounding_mode="floor")
    summands = (allowed.gather(2, words) - normalizer).flatten(1)
    return parents, words.flatten(1).gather(1, winners), summands.gather(1, winners)


def _part(live: _Captions, finished: _Captions, config: DecodingConfig) -> tuple[_Captions, _Captions]:
    """Moves the captions that end in `<end>` to the finished ones, of which the best by score are kept."""
    length = live.tokens.shape[3]
    ended = live.tokens[..., -1] == END
    if not ended.any():
        return live, finished
    scores = (live.keys / length**config.length_penalty).masked_fill(~ended, FORBIDDEN)
    longer = (0, length - finished.tokens.shape[3])
    # the finished ones come first, so they win ties
    pool = _Captions(
        torch.cat([finished.keys, scores], dim=2),
        torch.cat([pad(finished.tokens, longer, value=END), live.tokens], dim=2),
        torch.cat([pad(finished.log_probs, longer), live.log_probs], dim=2),
    )
    ranked = pool.keys.sort(dim=2, descending=True, stable=True).indices
    remaining = _Captions(live.keys.masked_fill(ended, FORBIDDEN), live.tokens, live.log_probs)
    return remaining, pool.pick(ranked[..., : finished.keys.shape[2]])


def _settled(live: _Captions, finished: _Captions, config: DecodingConfig, early_stop: bool) -> Tensor:
    """Which pictures (P,) cannot improve any more; the proof stands at the top of this file."""
    reachable: Tensor = live.keys.amax(dim=2) / (config.max_length + 1) ** config.length_penalty
    bar = finished.keys[..., -1] if early_stop else torch.full_like(reachable, FORBIDDEN)
    return (bar >= reachable).all(dim=1)


def _read(finished: _Captions, config: DecodingConfig) -> list[list[Hypothesis]]:
    """The captions of each picture: the best of every group before the second best, each once, sorted by score."""
    columns = (finished.keys, finished.tokens, finished.log_probs)
    by_rank = (column.transpose(1, 2).flatten(1, 2).tolist() for column in columns)
    lists = []
    for picture in zip(*by_rank, strict=True):
        found: dict[tuple[int, ...], Hypothesis] = {}
        for key, tokens, summands in zip(*picture, strict=True):
            if key > FORBIDDEN:
                caption = complete(tokens, summands, config.length_penalty)
                found.setdefault(caption.tokens, caption)
        chosen = list(found.values())[: config.num_captions]
        lists.append(sorted(chosen, key=lambda caption: -caption.score))
    return lists


BLOCK = 32


def best(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest values of each row and their indices, best first, ties by the lower index.

    `torch.topk` leaves the order of ties open, and on a GPU it may depend on the number of rows, so a picture could get
    another caption in a batch than alone; ties are common once logits come in bfloat16. Here each value is joined with
    its index into one integer, so no two are equal, and `topk` has nothing left to decide. Integers of a whole
    vocabulary would be slow, hence two rounds: the row is cut into blocks, the blocks are ranked by their largest
    value, and only the members of the best blocks are ranked one by one. This is faster than `topk` over the row.

    Why that is exact: rank values by (value descending, index ascending), blocks by (largest value descending, block
    index ascending), and take the `count` best blocks. A value outside of them lies behind `count` blocks, and each of
    these holds a value that is larger, or equal with a lower index (blocks are contiguous). So it is not among the best
    `count`. The rest of the row after its last whole block always takes part.

    Args:
        values: (N, V), without NaN.
        count: How many; all of them when V is smaller.

    Returns:
        Values and indices (int64), both (N, min(count, V)).
    """
    if values.shape[1] < 2 * count * BLOCK:
        return _sorted(values, count)
    blocks = values.shape[1] // BLOCK
    rest = torch.arange(blocks * BLOCK, values.shape[1], device=values.device).expand(values.shape[0], -1)
    peaks = values[:, : blocks * BLOCK].reshape(-1, blocks, BLOCK).amax(dim=2)
    chosen = _sorted(peaks, count)[1].sort(dim=1).values
    members = chosen.unsqueeze(2) * BLOCK + torch.arange(BLOCK, device=values.device)
    candidates = torch.cat([members.flatten(1), rest], dim=1)
    top_values, positions = _sorted(values.gather(1, candidates), count)
    return top_values, candidates.gather(1, positions)


def _sorted(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """`best` in one round: each value and its index become one integer, so that no two are equal."""
    # the bits of a float32 read as an integer sort like the number, once those below the sign of negatives are flipped
    bits = (values + 0.0).view(torch.int32)
    ascending = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    keys = (ascending.long() << 32) - torch.arange(values.shape[1], device=values.device)
    indices = keys.topk(min(count, values.shape[1]), dim=1).indices
    return values.gather(1, indices), indices
