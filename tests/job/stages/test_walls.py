"""What a job of steps does not pay for."""

import subprocess
import sys


def test_a_supervisor_loads_nothing_of_stages_before_it_has_some() -> None:
    program = (
        "import sys, agent.job.supervisor.process, agent.job.launch.warming as warming\n"
        "warming.warm_up()\n"
        "print(*[name for name in sys.modules if name.startswith('agent.job.stages')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
