"""Facts of the tasks, known before they are loaded."""

from __future__ import annotations

from dataclasses import dataclass

CC_BY = "CC BY 4.0"
MIT = "MIT (repository)"
NOT_STATED = "not stated"


@dataclass(frozen=True)
class Facts:
    """Counts of a task as :class:`~graphtasks.GraphTask` counts them; None where nobody states them, or there are none.

    Args:
        nodes: Number of nodes, of all graphs together; for a series, of its largest snapshot.
        edges: Number of edges in the same way, an undirected one twice.
        features: Number of feature columns.
        classes: Number of classes or of label columns.
        directed: Whether some edge has no reverse.
        licence: Licence as the source states it; 'repository' where it is that of the code the data come with.
        megabytes: Size of the raw files.
        graphs: Number of graphs or snapshots.
        counted: Whether the counts were found by loading the task; otherwise they are published ones.
    """

    nodes: int | None
    edges: int | None
    features: int | None
    classes: int | None
    directed: bool | None
    licence: str
    megabytes: float | None
    graphs: int = 1
    counted: bool = True


FACTS = {
    "digits": Facts(1797, 24680, 64, 10, False, CC_BY, 0.0),
    "wine": Facts(178, 2462, 13, 3, False, CC_BY, 0.0),
    "breast-cancer": Facts(569, 8554, 30, 2, False, CC_BY, 0.0),
    "karate": Facts(34, 156, 34, 2, False, NOT_STATED, 0.0),
    "les-miserables": Facts(77, 508, 77, None, False, NOT_STATED, 0.0),
    "csbm": Facts(1000, 4954, 200, 2, False, "generated", 0.0),
    "ring-transfer": Facts(40000, 80000, 5, 5, False, "generated", 0.0, graphs=2000),
    "shortest-path": Facts(29948, 207_596, 2, None, False, "generated", 0.0, graphs=1000),
    "eccentricity": Facts(29948, 207_596, 1, None, False, "generated", 0.0, graphs=1000),
    "diameter": Facts(29948, 207_596, 1, None, False, "generated", 0.0, graphs=1000),
    "advection": Facts(200, 600, 1, None, True, "generated", 0.0, graphs=392),
    "cora": Facts(2708, 10556, 1433, 7, False, MIT, 0.6),
    "citeseer": Facts(3327, 9104, 3703, 6, False, MIT, 1.0),
    "pubmed": Facts(19717, 88648, 500, 3, False, MIT, None, counted=False),
    "cora-full": Facts(19793, 126_842, 8710, 70, False, MIT, None, counted=False),
    "cora-full-directed": Facts(19793, None, 8710, 70, True, MIT, None, counted=False),
    "cora-ml": Facts(2995, 16316, 2879, 7, False, MIT, 0.7),
    "cora-ml-directed": Facts(2995, 8416, 2879, 7, True, MIT, 0.7),
    "citeseer-full": Facts(4230, 10674, 602, 6, False, MIT, 0.1),
    "citeseer-full-directed": Facts(4230, 5358, 602, 6, True, MIT, 0.1),
    "dblp": Facts(17716, 105_734, 1639, 4, False, MIT, None, counted=False),
    "dblp-directed": Facts(17716, None, 1639, 4, None, MIT, None, counted=False),
    "pubmed-full": Facts(19717, 88648, 500, 3, False, MIT, None, counted=False),
    "pubmed-full-directed": Facts(19717, None, 500, 3, None, MIT, None, counted=False),
    "amazon-computers": Facts(13752, 491_722, 767, 10, False, MIT, 1.9),
    "amazon-photo": Facts(7650, 238_162, 745, 8, False, MIT, 1.0),
    "coauthor-cs": Facts(18333, 163_788, 6805, 15, False, MIT, 1.7),
    "coauthor-physics": Facts(34493, 495_924, 8415, 5, False, MIT, None, counted=False),
    "texas": Facts(183, 325, 1703, 5, True, NOT_STATED, 0.6),
    "wisconsin": Facts(251, 515, 1703, 5, True, NOT_STATED, 0.9),
    "cornell": Facts(183, 298, 1703, 5, True, NOT_STATED, 0.6),
    "chameleon": Facts(2277, 36101, 2325, 5, True, NOT_STATED, 11.0),
    "squirrel": Facts(5201, 217_073, 2089, 5, True, NOT_STATED, 23.9),
    "actor": Facts(7600, 30019, 932, 5, True, NOT_STATED, 0.6),
    "roman-empire": Facts(22662, 65854, 300, 18, False, MIT, None, counted=False),
    "amazon-ratings": Facts(24492, 186_100, 300, 5, False, MIT, None, counted=False),
    "minesweeper": Facts(10000, 78804, 7, 2, False, MIT, 0.1),
    "tolokers": Facts(11758, 1_038_000, 10, 2, False, MIT, None, counted=False),
    "questions": Facts(48921, 307_080, 301, 2, False, MIT, None, counted=False),
    "penn94": Facts(41554, 2_724_458, 4814, 2, False, NOT_STATED, None, counted=False),
    "reed98": Facts(962, 37624, None, 2, False, NOT_STATED, None, counted=False),
    "amherst41": Facts(2235, 181_908, None, 2, False, NOT_STATED, None, counted=False),
    "cornell5": Facts(18660, 1_581_554, 4735, 2, False, NOT_STATED, 3.5),
    "johnshopkins55": Facts(5180, 373_172, 2406, 2, False, NOT_STATED, 0.7),
    "twitch-de": Facts(9498, 315_774, 3170, 2, False, NOT_STATED, 0.9),
    "twitch-en": Facts(7126, 77774, 3170, 2, False, NOT_STATED, 0.5),
    "twitch-es": Facts(4648, 123_412, 3170, 2, False, NOT_STATED, 0.4),
    "twitch-fr": Facts(6549, 231_881, 3170, 2, False, NOT_STATED, 0.6),
    "twitch-pt": Facts(1912, 64510, 128, 2, False, NOT_STATED, None, counted=False),
    "twitch-ru": Facts(4385, 78993, 128, 2, False, NOT_STATED, None, counted=False),
    "flickr": Facts(89250, 899_756, 500, 7, False, NOT_STATED, None, counted=False),
    "reddit": Facts(232_965, 114_615_892, 602, 41, False, NOT_STATED, None, counted=False),
    "pascalvoc-sp": Facts(5_443_545, 30_777_444, 14, 21, False, "Pascal VOC terms", None, graphs=11355, counted=False),
    "coco-sp": Facts(58_793_216, 332_091_902, 14, 81, False, CC_BY, None, graphs=123_286, counted=False),
    "peptides-func": Facts(2_344_859, 4_773_974, 9, 10, False, "CC BY-NC 4.0", None, graphs=15535, counted=False),
    "peptides-struct": Facts(2_344_859, 4_773_974, 9, None, False, "CC BY-NC 4.0", None, graphs=15535, counted=False),
    "chameleon-filtered": Facts(890, 17708, 2325, 5, False, MIT, 0.1),
    "chameleon-filtered-directed": Facts(890, 13584, 2325, 5, True, MIT, 0.1),
    "squirrel-filtered": Facts(2223, 93996, 2089, 5, False, MIT, None, counted=False),
    "squirrel-filtered-directed": Facts(2223, 65718, 2089, 5, True, MIT, None, counted=False),
    "ogbn-arxiv": Facts(169_343, 1_166_243, 128, 40, True, "ODC-BY", 81.6, counted=False),
    "ogbn-products": Facts(2_449_029, 123_718_280, 100, 47, False, "Amazon license", None, counted=False),
    "ogbl-collab": Facts(235_868, 2_570_930, 128, None, False, "ODC-BY", None, counted=False),
    "ogbl-ppa": Facts(576_289, 60_652_546, 58, None, False, "CC-0", None, counted=False),
    "chickenpox": Facts(20, 102, 4, None, False, MIT, 0.1, graphs=517),
    "pedalme": Facts(15, 225, 4, None, False, MIT, 0.0, graphs=31),
    "wikimaths": Facts(1068, 27079, 8, None, True, MIT, None, graphs=723, counted=False),
    "twitter-tennis-rg17": Facts(1000, 936, 2, None, True, MIT, 0.2, graphs=119),
    "twitter-tennis-uo17": Facts(1000, 793, 2, None, True, MIT, 0.2, graphs=111),
    "cora-link": Facts(2708, 10556, 1433, None, False, MIT, 0.6),
    "citeseer-link": Facts(3327, 9104, 3703, None, False, MIT, 1.0),
    "pubmed-link": Facts(19717, 88648, 500, None, False, MIT, None, counted=False),
    "amazon-photo-link": Facts(7650, 238_162, 745, None, False, MIT, 1.0),
    "amazon-computers-link": Facts(13752, 491_722, 767, None, False, MIT, 1.9),
}
