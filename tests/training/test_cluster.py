"""What `TF_CONFIG` and SLURM say of a worker's place, and the strategy chosen from it."""

import json
import os
import re
import subprocess
import sys

import pytest
import tensorflow as tf

from kerasdl import training
from kerasdl.training import choosing
from kerasdl.training.cluster import Cluster, find_cluster
from kerasdl.training.slurm import expand_nodes, expand_tasks, find_step

STEP = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_PROCID": "3",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_STEP_TASKS_PER_NODE": "3,2",
}
EXPECTED = (
    "`TF_CONFIG` must hold what each worker is told, such as "
    '{"cluster": {"worker": ["first:2222", "second:2222"]}, "task": {"type": "worker", "index": 0}}.'
)


def tf_config(cluster, kind, index):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def test_alone_without_a_cluster():
    for environment in ({}, {"TF_CONFIG": ""}, {"TF_CONFIG": "{}"}, tf_config({"worker": ["a:1"]}, "worker", 0)):
        assert find_cluster(environment) is None
    # A batch script of SLURM has a rank, but is one process.
    assert find_cluster({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}) is None
    alone = {**STEP, "SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_NODELIST": "a", "SLURM_STEP_TASKS_PER_NODE": "1"}
    assert find_cluster({**alone, "SLURM_PROCID": "0"}) is None


def test_the_chief_is_the_first_worker_or_who_is_called_so():
    workers = {"worker": ["a:1", "b:1", "c:1"]}
    chiefs = [find_cluster(tf_config(workers, "worker", index)).is_chief for index in range(3)]
    assert chiefs == [True, False, False]
    # So does Kubernetes' TFJob write it.
    jobs = {"chief": ["x-chief-0:2222"], "worker": ["x-worker-0:2222", "x-worker-1:2222"]}
    assert find_cluster(tf_config(jobs, "chief", 0)).is_chief
    second = find_cluster(tf_config(jobs, "worker", 0))
    assert (second.is_chief, second.workers, second.index) == (False, 3, 0)
    # TensorFlow's own descriptions of a cluster may name others, whose first is no chief.
    assert [Cluster(workers, kind, 0).is_chief for kind in ("evaluator", "ps")] == [False, False]
    # The evaluator of such a job is no part of the training.
    assert find_cluster(tf_config({**jobs, "evaluator": ["e:1"]}, "worker", 1)) == Cluster(jobs, "worker", 1)


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ("{", "'{' (JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1))."),
        ("[1]", "'[1]' (AttributeError: 'list' object has no attribute 'get')."),
        (
            '{"cluster": {"worker": ["a:1", "b:1"]}}',
            """'{"cluster": {"worker": ["a:1", "b:1"]}}' (KeyError: 'task').""",
        ),
        (
            '{"cluster": {"worker": "a:1,b:1"}}',
            """'{"cluster": {"worker": "a:1,b:1"}}' """
            '(ValueError: addresses stand in a list, ["first:2222", "second:2222"]).',
        ),
        (
            '{"cluster": {"worker": {"0": "a:1"}}}',
            """'{"cluster": {"worker": {"0": "a:1"}}}' """
            '(ValueError: addresses stand in a list, ["first:2222", "second:2222"]).',
        ),
        (
            '{"cluster": {"chief": ["a:1"], "worker": ["b"]}}',
            """'{"cluster": {"chief": ["a:1"], "worker": ["b"]}}' (ValueError: b is no host:port).""",
        ),
        (
            '{"cluster": {"chief": ["a:1"], "worker": ["a:1"]}}',
            """'{"cluster": {"chief": ["a:1"], "worker": ["a:1"]}}' (ValueError: an address stands there twice).""",
        ),
        (
            tf_config({"worker": ["a:1", "b:1"]}, "worker", 2)["TF_CONFIG"],
            "no 'worker' with the index 2 among {'worker': ['a:1', 'b:1']}.",
        ),
        (
            tf_config({"worker": ["a:1", "b:1"]}, "chief", 0)["TF_CONFIG"],
            "no 'chief' with the index 0 among {'worker': ['a:1', 'b:1']}.",
        ),
    ],
)
def test_a_tf_config_that_says_nothing_sensible_is_refused(text, received):
    with pytest.raises(ValueError, match=f"^{re.escape(f'{EXPECTED} Received: {received}')}$"):
        find_cluster({"TF_CONFIG": text})


@pytest.mark.parametrize(
    ("jobs", "kind"), [({"worker": ["a:1"], "ps": ["b:1"]}, "ps"), ({"worker": ["a:1", "b:1"]}, "evaluator")]
)
def test_servers_and_evaluators_are_refused(jobs, kind):
    message = (
        "Workers of the kinds chief and worker train here, which share all weights; there is no work for a parameter "
        f"server or an evaluator. Received: TF_CONFIG with {sorted(jobs)}, of which this is {kind!r}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        find_cluster(tf_config(jobs, kind, 0))


def test_slurm_counts_tasks_along_its_own_list_of_nodes():
    found = find_cluster(STEP)
    assert (found.workers, found.index, found.is_chief) == (5, 3, False)
    hosts, ports = zip(*(address.split(":") for address in found.jobs["worker"]), strict=True)
    assert hosts == ("node1", "node1", "node1", "node2", "node2")
    first = int(ports[0])
    assert [int(port) - first for port in ports] == [0, 1, 2, 0, 1]
    assert find_cluster({**STEP, "TF_CONFIG": "{}"}) is None  # TF_CONFIG comes first
    # Ports stay below those of outgoing connections, and differ between jobs that follow each other.
    starts = set()
    for job in range(5000, 5250):
        addresses, _ = find_step({**STEP, "SLURM_JOB_ID": str(job)})
        starts.add(int(addresses[0].split(":")[1]))
    assert len(starts) == 250
    assert min(starts) >= 20_000
    assert max(starts) + 32 <= 28_000


def test_slurm_agrees_with_tensorflow_where_that_can_read_it(monkeypatch):
    for nodes, tasks, count in [
        ("n[1-3]", "2(x3)", 6),
        ("login,gpu[08-10]", "4,1(x3)", 7),
        ("a1b[2-3],c", "1(x2),2", 4),
    ]:
        step = {**STEP, "SLURM_STEP_NODELIST": nodes, "SLURM_STEP_TASKS_PER_NODE": tasks}
        step |= {"SLURM_STEP_NUM_TASKS": str(count), "SLURM_PROCID": str(count - 1)}
        for name, value in step.items():
            monkeypatch.setenv(name, value)
        addresses, rank = find_step(step)
        # It needs GPUs, and sorts the nodes by name, as they are sorted here.
        theirs = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=int(addresses[0].split(":")[1]), gpus_per_node=4, gpus_per_task=1, auto_set_gpu=False
        )
        expected = theirs.cluster_spec().as_dict()["worker"]
        assert sorted(addresses) == sorted(expected)
        assert theirs.get_task_info() == ("worker", rank)


def test_lists_of_slurm():
    assert expand_nodes("rack[1-2]n[08-10]") == [f"rack{rack}n{node}" for rack in (1, 2) for node in ("08", "09", "10")]
    assert expand_nodes("a,b-3,c[4,7-8]") == ["a", "b-3", "c4", "c7", "c8"]
    assert expand_nodes("n[9-10]") == ["n9", "n10"]
    assert expand_tasks("3,2(x2),1") == [3, 2, 2, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"SLURM_STEP_TASKS_PER_NODE": "x"}, "SLURM_STEP_TASKS_PER_NODE must read like '4(x2),3'. Received: 'x'."),
        (
            {"SLURM_STEP_TASKS_PER_NODE": "3"},
            "SLURM must name as many nodes as counts of tasks, 5 tasks in all, at most 32 on a node. "
            "Received: 'node[1-2]' and '3'.",
        ),
        (
            {"SLURM_DISTRIBUTION": "cyclic"},
            "With several tasks on a node their ranks must run from node to node: call srun with "
            "--distribution=block. Received: SLURM_DISTRIBUTION=cyclic.",
        ),
        (
            {"SLURM_PROCID": "x"},
            "SLURM must give whole numbers. "
            "Received: {'SLURM_STEP_NUM_TASKS': '5', 'SLURM_PROCID': 'x', 'SLURM_JOB_ID': '4711'}.",
        ),
        (
            {"SLURM_PROCID": "5"},
            "SLURM_PROCID must be below SLURM_STEP_NUM_TASKS. Received: 5 and 5.",
        ),
        (
            {"SLURM_JOB_ID": None},
            "A job step of SLURM must have the variables SLURM_PROCID, SLURM_STEP_NODELIST, "
            "SLURM_STEP_TASKS_PER_NODE, SLURM_JOB_ID. Missing: ['SLURM_JOB_ID'].",
        ),
    ],
)
def test_a_step_that_cannot_be_read_is_refused(change, message):
    step = {name: value for name, value in {**STEP, **change}.items() if value is not None}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        find_cluster(step)


def test_alone_the_strategy_is_tensorflows_default():
    assert training.strategy() is tf.distribute.get_strategy()
    mirrored = tf.distribute.MirroredStrategy(["CPU:0"])
    with mirrored.scope():  # chosen by hand
        assert training.strategy() is mirrored


def test_several_gpus_are_used(monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [f"{kind}:0", f"{kind}:1"])
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: "mirrored")
    choosing._choose.cache_clear()
    try:
        assert training.strategy() == "mirrored"
    finally:
        choosing._choose.cache_clear()


@pytest.mark.slow
def test_too_late_for_several_workers_is_told():
    program = "import tensorflow as tf; tf.ones(1); from kerasdl import training; training.strategy()"
    environment = {**os.environ, **tf_config({"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, "worker", 0)}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert ended.stderr.strip().splitlines()[-1] == (
        "RuntimeError: `training.strategy()` must come first in a program that several workers run: before TensorFlow "
        "makes a tensor, so before data are loaded and models built. It came after that."
    )
