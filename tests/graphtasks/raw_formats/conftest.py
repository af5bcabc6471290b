import pytest

from raw_files import CLASSES


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    """A cache folder and a default root of the test's own; who downloads fails the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("GRAPHTASKS_ROOT", raising=False)
    for cls in CLASSES:
        monkeypatch.setattr(cls, "download", lambda dataset: pytest.fail(f"{dataset} was downloaded"))


@pytest.fixture
def no_network(offline, monkeypatch):
    """Downloads are tried, and raise what an absent network does."""

    def download(dataset):
        raise OSError("no network")

    for cls in CLASSES:
        monkeypatch.setattr(cls, "download", download)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"
