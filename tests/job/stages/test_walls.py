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


def test_a_flow_loads_nothing_that_the_process_has_not_from_which_it_is_forked() -> None:
    """What each of many idle flows would have of its own."""
    program = (
        "import asyncio, sys, agent.job.launch.warming as warming\n"
        "warming.warm_up()\n"
        "warming.warm_up_stages()\n"
        "before = set(sys.modules)\n"
        "from agent.errors import UnreachableError\n"
        "from agent.job.stages.asking import ServerPlace, StageServer\n"
        "from agent.job.stages.shell.job import JobStages\n"
        "from agent.job.stages.actions import receive, send\n"
        "async def ask():\n"
        "    try:\n"
        "        await StageServer(ServerPlace('http://127.0.0.1:9', 'token')).post('queue/take', {})\n"
        "    except UnreachableError:\n"
        "        print('nobody is there')\n"
        "asyncio.run(ask())\n"
        "print(*(set(sys.modules) - before))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["nobody is there", "", ""]
