"""A series of your own, from a CSV file to a forecast in its unit: traffic that flows around a ring of roads."""

from __future__ import annotations

import tempfile
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import torch

import graphtasks
from dmdgnn.nn import DMDGRU
from dmdgnn.series import AddSeriesModes
from graphtasks import FitConfig

ROADS = ["north", "east", "south", "west"]


def write_traffic(path: Path) -> None:
    """Write cars an hour on each road: the cars of one road reach the next an hour later."""
    rng = np.random.default_rng(0)
    hours = np.arange(400)
    waves = [300 + 100 * np.sin(2 * np.pi * (hours - delay) / 24) for delay in range(len(ROADS))]
    table = pd.DataFrame(np.stack(waves, axis=1) + rng.normal(scale=5, size=(400, 4)), columns=ROADS)
    table.insert(0, "time", pd.date_range("2024-01-01", periods=400, freq="h"))
    table.to_csv(path, index=False)


def main() -> None:
    """Train a recurrent network on the modes of the series, and forecast the hours after its end."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        write_traffic(Path(folder) / "traffic.csv")
        table = pd.read_csv(Path(folder) / "traffic.csv", index_col="time", parse_dates=True)
    roads = nx.cycle_graph(ROADS, create_using=nx.DiGraph)
    task = graphtasks.from_series(table, roads, lags=6, horizon=3, name="traffic")

    # The modes see the training part alone, and so does the scale.
    states = torch.stack([graph.y[:, 0] for graph in task.part(0, "train")], dim=1)
    task = task.transform(AddSeriesModes(states, rank=2))
    model = DMDGRU(in_channels=1, hidden_channels=16, out_channels=task.num_outputs, rank=2)
    result = graphtasks.fit(model, task, config=FitConfig(epochs=12, batch_size=32))
    print(f"{task.name}: test error {result.test:.3f} of the variance, epoch {result.best_epoch}")

    assert task.scale is not None
    with torch.no_grad():
        forecast = task.scale.restore(graphtasks.forward(model.eval(), task.graphs[-1]))
    hours = pd.date_range(table.index[-1], periods=4, freq="h")[1:]
    print(pd.DataFrame(forecast.T.numpy(), index=hours, columns=ROADS).round().astype(int))


if __name__ == "__main__":
    main()
