"""Computes a sum in three parts, each on a machine of its own."""

import json

import ray
from ray.util import get_node_ip_address
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


@ray.remote(num_cpus=1)
def part(low, high):
    return get_node_ip_address(), sum(number * number for number in range(low, high))


ray.init(address="auto", log_to_driver=False)
nodes = sorted(node["NodeID"] for node in ray.nodes() if node["Alive"])
parts = ray.get(
    [
        part.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(i * 1000, (i + 1) * 1000)
        for i, node in enumerate(nodes)
    ],
    timeout=240,
)
print("answer", json.dumps({"machines": sorted(address for address, _ in parts), "sum": sum(number for _, number in parts)}))
