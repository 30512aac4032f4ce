"""Where data side and model side meet: sources, the trainer, what a run says about itself."""

from showtell.config.registry import declare

declare("logger", None, "showtell.training.logs:tensorboard", "tensorboard")
declare("logger", None, "showtell.training.logs:MetricsFile", "csv")
declare("logger", None, "showtell.training.trackers:Wandb", "wandb")
declare("logger", None, "showtell.training.trackers:Mlflow", "mlflow")
declare("logger", None, "showtell.training.trackers:Trackio", "trackio")
