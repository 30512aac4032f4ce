import json

import showtell
from showtell.training.logs import RunLogger


@showtell.register("logger", name="lines")
class Lines(RunLogger):
    def write(self, metrics, step):
        with (self.run.directory / "metrics.jsonl").open("a") as file:
            print(json.dumps({"step": step, **metrics}), file=file)
