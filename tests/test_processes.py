import subprocess
import sys

from showtell.processes import module_environment

CODE = """
import subprocess
from showtell.processes import ended_with_us
subprocess.run(ended_with_us(["sh", "-c", "echo started; exec sleep 900"]))
"""


def test_a_program_ends_with_the_process_that_started_it() -> None:
    parent = subprocess.Popen([sys.executable, "-c", CODE], stdout=subprocess.PIPE, env=module_environment())
    assert parent.stdout and parent.stdout.readline() == b"started\n"
    parent.kill()
    assert parent.communicate(timeout=60)[0] == b""  # its end comes when nobody can write any more
