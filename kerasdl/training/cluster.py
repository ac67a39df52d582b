"""Which workers train together, as `TF_CONFIG` or SLURM tell every one of them."""

import dataclasses
import json
import os
import re
from collections.abc import Mapping

from kerasdl.training import slurm

# What a cluster's description may hold besides: servers of parameters and a worker that only measures are not for us.
_TRAINING = ("chief", "worker")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Several workers, each a process, which train one model together.

    Args:
        jobs: The addresses ("host:port") of the workers under "worker", and of a chief, where there is one, under
            "chief".
        kind: Which of the two this process is.
        index: Its place in that list.
    """

    jobs: dict[str, list[str]]
    kind: str
    index: int

    @property
    def workers(self) -> int:
        """How many processes train."""
        return sum(map(len, self.jobs.values()))

    @property
    def is_chief(self) -> bool:
        """Whether this process writes what is to be written once: the chief, or else the first worker."""
        return self.kind == "chief" or (self.kind == "worker" and self.index == 0 and "chief" not in self.jobs)


def find_cluster(environment: Mapping[str, str] | None = None) -> Cluster | None:
    """The cluster that this process belongs to; None where it trains alone.

    Args:
        environment: Where to look; the environment's variables unless told otherwise.

    Example:
        >>> config = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}'
        >>> find_cluster({"TF_CONFIG": config})
        Cluster(jobs={'worker': ['a:1', 'b:1']}, kind='worker', index=1)
    """
    environment = os.environ if environment is None else environment
    if environment.get("TF_CONFIG"):
        return _from_tf_config(environment["TF_CONFIG"])
    step = slurm.find_step(environment)
    if step is None:
        return None
    addresses, rank = step
    return Cluster({"worker": addresses}, "worker", rank) if len(addresses) > 1 else None


def _check_addresses(jobs: list[list[str]]) -> None:
    if not all(isinstance(addresses, list) for addresses in jobs):
        raise ValueError('addresses stand in a list, ["first:2222", "second:2222"]')
    every = [address for addresses in jobs for address in addresses]
    wrong = [address for address in every if not re.fullmatch(r"\S+:\d+", str(address))]
    if wrong or len(set(every)) < len(every):
        raise ValueError(f"{wrong[0]} is no host:port" if wrong else "an address stands there twice")


def _from_tf_config(text: str) -> Cluster | None:
    expected = (
        "`TF_CONFIG` must hold what each worker is told, such as "
        '{"cluster": {"worker": ["first:2222", "second:2222"]}, "task": {"type": "worker", "index": 0}}.'
    )
    try:
        config = json.loads(text)
        jobs = config.get("cluster", {})
        _check_addresses([jobs[kind] for kind in (*_TRAINING, "ps") if kind in jobs])
        training = {kind: jobs[kind] for kind in _TRAINING if jobs.get(kind)}
        if sum(map(len, training.values())) < 2 and "ps" not in jobs:
            return None
        kind, index = str(config["task"]["type"]), int(config["task"]["index"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{expected} Received: {text!r} ({type(error).__name__}: {error}).") from None
    if "ps" in jobs or kind not in _TRAINING:
        raise ValueError(
            "Workers of the kinds chief and worker train here, which share all weights; there is no work for a "
            f"parameter server or an evaluator. Received: TF_CONFIG with {sorted(jobs)}, of which this is {kind!r}."
        )
    if kind not in training or not 0 <= index < len(training[kind]):
        raise ValueError(f"{expected} Received: no {kind!r} with the index {index} among {training}.")
    return Cluster(training, kind, index)
