"""A small task of each kind."""

import graphtasks


def karate_links():
    return graphtasks.link_task(graphtasks.load("karate").data, name="karate-link")


def values():
    data = graphtasks.load("karate").data.clone()
    data.y = data.edge_index[0].bincount().float().log()
    return graphtasks.from_data(data, name="degrees", splits=graphtasks.random_splits(34, count=1))


TASKS = {
    "node": lambda: graphtasks.load("karate"),
    "node-regression": values,
    "link": karate_links,
    "graph": lambda: graphtasks.load("diameter", num_graphs=60, min_nodes=8, max_nodes=12),
    "temporal": lambda: graphtasks.load("advection", num_nodes=20, steps=110),
}


def task_of(kind):
    task = TASKS[kind]()
    assert task.kind == kind
    return task
