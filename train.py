"""Trains a captioner: `python train.py [group=option] [key=value]`; `python train.py --help` explains."""

import os
import sys
from pathlib import Path
from typing import Any

from showtell.config import register_with_hydra
from showtell.config.command_line import checked_arguments, composing, print_help, ready_directory
from showtell.config.plugins import take_plugins
from showtell.config.words import flags_first
from showtell.errors import one_line_errors
from showtell.launching.start import arguments_of_rank, start
from showtell.run import Run, at_current_stage, with_parts_of_run

CONF = Path(__file__).parent / "conf"


def compose(words: list[str]) -> list[Any]:
    """What Hydra makes of a command line: values, overrides and a directory; nothing where it did all, as a sweep."""
    import hydra
    from hydra.core.hydra_config import HydraConfig

    found: list[Any] = []

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    def keep(values: Any) -> None:
        job = HydraConfig.get()
        found.extend((values, job.overrides.task, os.path.relpath(job.runtime.output_dir)))

    register_with_hydra()
    sys.argv[1:] = flags_first(words)
    with composing():
        keep()
    return found


def main() -> None:
    """Trains the run of a directory that is ready, or of a new one that the command line describes."""
    with one_line_errors():
        words = take_plugins(sys.argv[1:], __file__)
        if words[:1] == ["--run"]:
            run, composed = Run(ready_directory(words)), []
        elif print_help(words, CONF):
            return
        else:
            asked = checked_arguments(at_current_stage(words), CONF)
            composed = compose(arguments_of_rank(with_parts_of_run(asked)))
            if not composed:
                return
            run, composed = Run(composed[2]), [composed[0], [word for word in composed[1] if word in asked]]
    with one_line_errors(run.withdraw):
        start(run, *composed)


if __name__ == "__main__":
    main()
