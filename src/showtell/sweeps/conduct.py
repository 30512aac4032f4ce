"""A whole sweep: its jobs on their backend, the list of failures, the leaderboard."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from showtell.config import Config
from showtell.leaderboard.build import write_leaderboard
from showtell.sweeps.backends import build_backend
from showtell.sweeps.display import Display, summary
from showtell.sweeps.job import Job
from showtell.sweeps.outcome import Ended
from showtell.sweeps.process import Program
from showtell.sweeps.runner import Runner, exit_code


def conduct(
    jobs: Iterable[Job],
    total: int,
    program: Program,
    config: Config,
    folder: Path,
    ended: Ended = lambda outcome: None,
    before: Sequence[Path] = (),
) -> int:
    """Runs all jobs, compares their runs, and tells what failed.

    Args:
        jobs: asked for one at a time.
        total: how many there will be.
        program: what trains one run.
        config: of the sweep.
        folder: where the leaderboard goes.
        ended: is told each outcome as it comes.
        before: runs that belong to the comparison although there is nothing to do for them.

    Returns:
        The exit code: 0, 1 when a run is missing, 128 + n when a signal stopped the sweep.

    Raises:
        ConfigError: the backend cannot be used.
    """
    backend = build_backend(config, folder, program)
    display = Display(total)
    runner = Runner(program, backend, display, ended)
    display.note(f"{total} jobs, {min(backend.slots, total)} at once, in {folder}")
    try:
        outcomes = runner.run(jobs)
    finally:
        backend.close()
    if runner.signal is None:
        write_leaderboard([*before, *(outcome.job.directory for outcome in outcomes)], folder)
    display.note("\n" + summary(outcomes, total))
    return exit_code(runner, outcomes)
