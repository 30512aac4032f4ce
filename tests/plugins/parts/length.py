import showtell
from showtell.evaluation.metric import Metric, of_pictures


@showtell.register("metric", name="length")
class Length(Metric):
    names = {"length": "length, people's = 1"}
    smaller_is_better = ("length",)

    def __init__(self, references):
        self.mean = references.captions.lengths.mean()

    def score(self, candidates):
        return of_pictures("length", candidates.captions.lengths / self.mean)
