"""The shipped tests of kinds, on a task of each kind in each way in which it is trained."""

import dataclasses

import pytest

from graphtasks import GraphTask
from graphtasks.testing import KindTestCase
from learners import CASES


@pytest.mark.parametrize("case", CASES.values(), ids=CASES, scope="class")
class TestKinds(KindTestCase):
    @pytest.fixture(autouse=True)
    def _case(self, case):
        self.case = case
        self.config = dataclasses.replace(case.config, epochs=2)

    def task(self) -> GraphTask:
        return self.case.task()

    def model(self, task):
        return self.case.model()
