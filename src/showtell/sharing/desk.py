"""Where pictures of many askers meet the model: those that wait at the same time are decoded as one batch."""

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import torch
from torch import Tensor

from showtell.config import DecodingConfig
from showtell.decoding import Hypothesis
from showtell.prediction.captioner import PictureCaptioner, captioned_as
from showtell.prediction.outputs import captions_of

Answer = dict[str, Any]
"""`captions`: best first, each with `text`, `logprob`, `end` (the probability that it ends there) and `words`, of which
each has `word`, `p` and, where the model attends, `map`: weights over `grid`, rows and columns, row by row."""


class Desk:
    """A thread that has the model to itself, and a queue before it.

    Args:
        captioner: the model.
        decoding: how captions are read off.
        looks: how many looks at a picture it wants, and which of the distinct ones these are.
        batch_size: pictures at a time.
        seed: of sampling.
    """

    def __init__(
        self, captioner: PictureCaptioner, decoding: DecodingConfig, looks: Sequence[int], batch_size: int, seed: int
    ) -> None:
        self._captioner, self._decoding, self._looks = captioner, decoding, looks
        self._batch_size = batch_size
        self._generator = torch.Generator().manual_seed(seed)
        self._waiting: queue.SimpleQueue[tuple[list[Tensor], Future[Answer]]] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def caption(self, inputs: list[Tensor]) -> Answer:
        """Waits for the captions of a picture, given as what the distinct looks made of it."""
        future: Future[Answer] = Future()
        self._waiting.put((inputs, future))
        return future.result()

    def _work(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while len(batch) < self._batch_size and not self._waiting.empty():
                batch.append(self._waiting.get())
            try:
                answers = self._answers([inputs for inputs, _ in batch])
            except Exception as error:  # of a user's own decoder, say: whoever asked is told, and the next is served
                for _, future in batch:
                    future.set_exception(error)
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                future.set_result(answer)

    @torch.inference_mode()
    def _answers(self, pictures: Sequence[list[Tensor]]) -> list[Answer]:
        distinct = [torch.stack(same) for same in zip(*pictures, strict=True)]
        features = self._captioner.encode([distinct[number] for number in self._looks])
        found = self._captioner.decode(features, self._decoding, self._generator)
        maps = self._captioner.maps(features, [[one.tokens for one in some] for some in found])
        return [self._answer(some, own) for some, own in zip(found, maps, strict=True)]

    def _answer(self, hypotheses: Sequence[Hypothesis], maps: Sequence[Tensor | None]) -> Answer:
        captioned = captioned_as(hypotheses, self._captioner.vocabulary)
        told = captions_of(captioned, self._captioner.vocabulary.tokenizer)
        captions, answer = [], Answer()
        for text, caption, hypothesis, own in zip(captioned.captions, told, hypotheses, maps, strict=True):
            words: list[dict[str, Any]] = [{"word": word.text, "p": word.p} for word in caption.words]
            captions.append({"text": text, "logprob": hypothesis.log_prob, "end": caption.end, "words": words})
            if own is not None:
                answer["grid"] = list(own.shape[1:])
                for word, weights in zip(words, own.flatten(1).tolist(), strict=True):
                    word["map"] = [round(weight, 5) for weight in weights]
        return {"captions": captions, **answer}
