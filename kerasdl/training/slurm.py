"""What SLURM tells the tasks of a job step (`srun`): which nodes they run on, and which of them this one is.

TensorFlow's own `SlurmClusterResolver` is not used: it fails where a node has no NVIDIA GPU, and it sorts the nodes by
name, "node10" before "node9", where SLURM counts the tasks in the order of its own list.
"""

import re
from collections.abc import Mapping

# Of 20,000 to 28,000: below the ports that Linux gives to outgoing connections. Jobs that share a node meet on one only
# where their numbers differ by a multiple of 250.
_FIRST_PORT, _JOBS, _PORTS_PER_JOB = 20_000, 250, 32


def find_step(environment: Mapping[str, str]) -> tuple[list[str], int] | None:
    """The addresses of a job step's tasks in the order of their ranks, and the own rank; None outside of a step.

    Args:
        environment: The environment's variables.

    Example:
        >>> step = {"SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "2", "SLURM_STEP_NODELIST": "gpu[9-10]"}
        >>> find_step(step | {"SLURM_STEP_TASKS_PER_NODE": "2,1", "SLURM_JOB_ID": "1001"})
        (['gpu9:20032', 'gpu9:20033', 'gpu10:20032'], 2)
    """
    # A batch script outside of `srun` has a rank too, but no step: it is one process.
    if "SLURM_STEP_NUM_TASKS" not in environment:
        return None
    needed = ("SLURM_PROCID", "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE", "SLURM_JOB_ID")
    missing = [name for name in needed if name not in environment]
    if missing:
        raise ValueError(f"A job step of SLURM must have the variables {', '.join(needed)}. Missing: {missing}.")
    nodes = expand_nodes(environment["SLURM_STEP_NODELIST"])
    tasks = expand_tasks(environment["SLURM_STEP_TASKS_PER_NODE"])
    numbers = {name: environment[name] for name in ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_JOB_ID")}
    if not all(re.fullmatch(r"\d+", value) for value in numbers.values()):
        raise ValueError(f"SLURM must give whole numbers. Received: {numbers}.")
    count, rank = int(numbers["SLURM_STEP_NUM_TASKS"]), int(numbers["SLURM_PROCID"])
    if rank >= count:
        raise ValueError(f"SLURM_PROCID must be below SLURM_STEP_NUM_TASKS. Received: {rank} and {count}.")
    if len(nodes) != len(tasks) or sum(tasks) != count or max(tasks) > _PORTS_PER_JOB:
        raise ValueError(
            f"SLURM must name as many nodes as counts of tasks, {count} tasks in all, at most {_PORTS_PER_JOB} on a "
            f"node. Received: {environment['SLURM_STEP_NODELIST']!r} and {environment['SLURM_STEP_TASKS_PER_NODE']!r}."
        )
    distribution = environment.get("SLURM_DISTRIBUTION", "block")
    if max(tasks) > 1 and len(nodes) > 1 and not distribution.startswith("block"):
        raise ValueError(
            "With several tasks on a node their ranks must run from node to node: call srun with --distribution=block. "
            f"Received: SLURM_DISTRIBUTION={distribution}."
        )
    first = _FIRST_PORT + int(environment["SLURM_JOB_ID"]) % _JOBS * _PORTS_PER_JOB
    addresses = [f"{node}:{first + task}" for node, count in zip(nodes, tasks, strict=True) for task in range(count)]
    return addresses, rank


def expand_nodes(text: str) -> list[str]:
    """The nodes of a list as SLURM writes it.

    Args:
        text: Such as "login,gpu[01-03,7]-ib".

    Example:
        >>> expand_nodes("login,gpu[08-10,2]-ib")
        ['login', 'gpu08-ib', 'gpu09-ib', 'gpu10-ib', 'gpu2-ib']
    """
    # A comma inside of brackets does not part two entries.
    return [node for entry in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text) for node in _expand(entry)]


def _expand(entry: str) -> list[str]:
    match = re.fullmatch(r"([^\[]*)\[([^\]]*)\](.*)", entry)
    if match is None:
        return [entry]
    names = []
    for part in match[2].split(","):
        first, _, last = part.partition("-")
        # With as many digits as the first has: 08 to 10.
        numbers = [f"{number:0{len(first)}d}" for number in range(int(first), int(last or first) + 1)]
        names += [match[1] + number + rest for number in numbers for rest in _expand(match[3])]
    return names


def expand_tasks(text: str) -> list[int]:
    """How many tasks each node has, of a list as SLURM writes it.

    Args:
        text: Such as "4(x2),3".

    Example:
        >>> expand_tasks("4(x2),3")
        [4, 4, 3]
    """
    counts = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if match is None:
            raise ValueError(f"SLURM_STEP_TASKS_PER_NODE must read like '4(x2),3'. Received: {text!r}.")
        counts += [int(match[1])] * int(match[2] or 1)
    return counts
