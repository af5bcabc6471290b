"""How long does it take to score many candidates at once, against one after the other?

100 networks of a two-layer GCN on Cora, scored on its validation nodes, against a loop of `load_state_dict`, a forward
pass of PyG's GCN on `edge_index` and the metric.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from measure import Row, markdown, seconds, write_json
from torch import Tensor
from torch_geometric.nn.models import GCN

import graphtasks
from gnndiff.evaluation import Evaluator, stack
from gnndiff.targets import find
from gnndiff.targets.build import Preparations, build
from graphtasks import GraphTask

CANDIDATES = 100


def gcn(task: GraphTask, hidden: int) -> Row:
    """Seconds to score all candidates."""
    target = find("gcn")
    setting = {"hidden": hidden, "dropout": 0.5}
    prepared = Preparations(target, task)(setting)
    networks = [build(target, prepared, setting, seed, torch.device("cpu")) for seed in range(CANDIDATES)]
    states = [network.state_dict() for network in networks]
    evaluator, stacked = Evaluator(networks[0], prepared), stack(states)
    plain = GCN(task.num_features, hidden, 2, task.num_classes).eval()
    same = evaluator.scores(stacked, "val") == one_by_one(plain, states, task)
    rival_s = seconds(one_by_one, plain, states, task)
    ours_s = seconds(evaluator.scores, stacked, "val")
    return {
        "work": f"{CANDIDATES} GCNs of {hidden} hidden units on {task.name}",
        "rival": "loop of load_state_dict, PyG's forward and the metric",
        "ours_s": ours_s,
        "rival_s": rival_s,
        "ratio": rival_s / ours_s,
        "target": "20x",
        "more": {"same scores": same},
    }


@torch.no_grad()
def one_by_one(model: GCN, states: list[dict[str, Tensor]], task: GraphTask) -> list[float]:
    """The scores as a plain loop finds them."""
    data, scores = task.graph(), []
    for state in states:
        model.load_state_dict(state)
        scores.append(task.evaluate(model(data.x, data.edge_index), 0, "val"))
    return scores


def main() -> None:
    """Measure and write rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=["cora"])
    parser.add_argument("--hidden", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("scoring.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = [gcn(graphtasks.load(name), hidden) for name in arguments.tasks for hidden in arguments.hidden]
    print(markdown(rows))
    write_json(arguments.out, rows)


if __name__ == "__main__":
    main()
