"""The order of an epoch over shards: batches of one caption length from a stream with a bounded buffer.

The plan is arithmetic on the shards' indexes and reads no sample. Shards are shuffled anew for each epoch and dealt to
the ranks, each of which reads its own, one after the other. A rank's stream is shuffled by letting every caption wait
for a random time of up to `buffer` captions; those whose time has come queue up by length. As soon as every rank has
its share of a batch of one length, that step is planned, so all ranks run the same number of steps with the same length
at each, and none ever waits for another's longer caption. What is left when the shards run out (the buffers, the
queues, and up to one shard per rank when their number does not divide evenly) is pooled and cut into the last batches.

So each caption comes exactly once per epoch, and the number of steps is the sum over lengths of ceil(captions / batch
size), for every seed, epoch and number of ranks: schedules and progress bars know it in advance. A batch is one array
whose entries `rank::world` are the share of a rank, as for data in memory. Memory: `buffer` row numbers per rank, the
queues, and one shard's lengths; `peak` counts them. A resume plans the epoch up to its position again, at some millions
of captions a second and without touching the shards.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from showtell.data.readers import Rows
from showtell.data.shards.pattern import ShardError
from showtell.data.shards.shard_set import ShardSet


class ShardPlan:
    """The batches of every epoch over shards.

    Args:
        shards: what is trained on.
        batch_size: captions per step, all ranks together; the last batches of a length may be smaller.
        buffer: captions among which a rank shuffles.
        seed: decides the order together with the epoch.
        world: number of ranks.

    Raises:
        ShardError: a rank would have no shard, or no caption in a batch.
    """

    def __init__(self, shards: ShardSet, batch_size: int, buffer: int, seed: int, world: int = 1) -> None:
        if len(shards.paths) < world:
            raise ShardError(
                f"{len(shards.paths)} shard(s) for {world} processes: each reads shards of its own; use fewer "
                "processes, or write more and smaller shards"
            )
        if batch_size < world:
            raise ShardError(f"training.batch_size={batch_size} is less than the {world} processes; make it larger")
        self.shards = shards
        self.batch_size = batch_size
        self.buffer = buffer
        self.seed = seed
        self.world = world
        self.peak = 0

    def __len__(self) -> int:
        return int((-(-self.shards.length_counts // self.batch_size)).sum())

    def epoch(self, epoch: int) -> Iterator[Rows]:
        """The caption rows of each step; those of rank r are `rows[r::world]`."""
        random = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
        order = random.permutation(len(self.shards.paths))
        even = len(order) // self.world * self.world
        streams = [_Stream(self.buffer) for _ in range(self.world)]
        for dealt in order[:even].reshape(-1, self.world):
            # the largest shard to the rank that has read least, so that none gets far ahead of the others
            read = sorted((self.shards.usable_rows(int(shard)) for shard in dealt), key=lambda part: -len(part[0]))
            for stream, part in zip(sorted(streams, key=lambda stream: stream.position), read, strict=True):
                stream.read(*part, random)
            self._watch(streams)
            yield from self._full_steps(streams)
        yield from self._last_steps(streams, order[even:], random)

    def _full_steps(self, streams: list["_Stream"]) -> Iterator[Rows]:
        """The steps for which every rank has its share, in the order in which they became ready."""
        shares = [len(range(rank, self.batch_size, self.world)) for rank in range(self.world)]
        most = 1 + max((int(stream.ready_lengths.max()) for stream in streams if len(stream.ready_rows)), default=0)
        counts = np.array([np.bincount(stream.ready_lengths, minlength=most) for stream in streams])
        steps = (counts // np.array(shares)[:, None]).min(axis=0)
        rows = np.empty((int(steps.sum()), self.batch_size), dtype=np.int64)
        turns = np.zeros(len(rows))
        for rank, (stream, share) in enumerate(zip(streams, shares, strict=True)):
            taken, waited = stream.take(steps * share)
            rows[:, rank :: self.world] = taken.reshape(-1, share)
            np.maximum(turns, waited.reshape(-1, share).max(axis=1, initial=0), out=turns)
        yield from rows[np.argsort(turns, kind="stable")]

    def _last_steps(
        self, streams: list["_Stream"], shards: NDArray[np.int64], random: np.random.Generator
    ) -> Iterator[Rows]:
        parts = [*(stream.rest() for stream in streams), *(self.shards.usable_rows(int(shard)) for shard in shards)]
        rows, lengths = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
        mixed = random.permutation(len(rows))
        mixed = mixed[np.argsort(lengths[mixed], kind="stable")]
        groups = np.split(rows[mixed], np.flatnonzero(np.diff(lengths[mixed])) + 1) if len(rows) else []
        size = self.batch_size
        batches = [group[start : start + size] for group in groups for start in range(0, len(group), size)]
        yield from (batches[i] for i in random.permutation(len(batches)))

    def _watch(self, streams: list["_Stream"]) -> None:
        self.peak = max(self.peak, max(len(stream.waiting_rows) + len(stream.ready_rows) for stream in streams))


class _Stream:
    """One rank's captions: some wait for their random turn, some are ready for a batch."""

    def __init__(self, buffer: int) -> None:
        self.buffer = buffer
        self.position = 0
        self.waiting_rows = np.empty(0, dtype=np.int64)
        self.waiting_lengths = np.empty(0, dtype=np.int64)
        self.waiting_turns = np.empty(0)
        self.ready_rows = np.empty(0, dtype=np.int64)
        self.ready_lengths = np.empty(0, dtype=np.int64)
        self.ready_turns = np.empty(0)

    def read(self, rows: Rows, lengths: NDArray[np.int64], random: np.random.Generator) -> None:
        """Lets the captions of a shard wait, and makes those ready that no later caption can overtake."""
        turns = self.position + np.arange(len(rows)) + random.uniform(0, self.buffer, len(rows))
        self.position += len(rows)
        rows = np.concatenate([self.waiting_rows, rows])
        lengths = np.concatenate([self.waiting_lengths, lengths])
        turns = np.concatenate([self.waiting_turns, turns])
        is_ready = turns < self.position
        self.waiting_rows, self.waiting_lengths = rows[~is_ready], lengths[~is_ready]
        self.waiting_turns = turns[~is_ready]
        ready = np.flatnonzero(is_ready)
        ready = ready[np.argsort(turns[ready], kind="stable")]
        self.ready_rows = np.concatenate([self.ready_rows, rows[ready]])
        self.ready_lengths = np.concatenate([self.ready_lengths, lengths[ready]])
        self.ready_turns = np.concatenate([self.ready_turns, turns[ready]])

    def take(self, wanted: NDArray[np.int64]) -> tuple[Rows, NDArray[np.float64]]:
        """Removes the first `wanted[n]` ready captions of each length n: their rows and turns, by length."""
        by_length = np.argsort(self.ready_lengths, kind="stable")
        counts = np.bincount(self.ready_lengths, minlength=len(wanted))
        starts = np.cumsum(counts) - counts
        place = np.arange(len(by_length)) - np.repeat(starts, counts)
        is_taken = place < np.repeat(wanted, counts)
        taken, kept = by_length[is_taken], np.sort(by_length[~is_taken])
        result = self.ready_rows[taken], self.ready_turns[taken]
        self.ready_rows, self.ready_lengths = self.ready_rows[kept], self.ready_lengths[kept]
        self.ready_turns = self.ready_turns[kept]
        return result

    def rest(self) -> tuple[Rows, NDArray[np.int64]]:
        """Rows and lengths of all that is left."""
        return (
            np.concatenate([self.ready_rows, self.waiting_rows]),
            np.concatenate([self.ready_lengths, self.waiting_lengths]),
        )
