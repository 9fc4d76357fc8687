"""The table of periodic work names things; here it is shown that they exist."""

import inspect

import pytest
from celery import current_app
from django.utils.module_loading import import_string

from cssm.schedule import JOBS, beat_schedule, task_routes

pytestmark = pytest.mark.architecture


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.task)
def test_each_job_has_a_task_and_a_service_that_takes_the_time(job):
    current_app.loader.import_default_modules()
    assert job.task in current_app.tasks
    parameters = inspect.signature(import_string(job.service)).parameters
    assert parameters["now"].kind is inspect.Parameter.KEYWORD_ONLY
    assert job.limit is None or "limit" in parameters


def test_every_task_of_ours_is_in_the_table():
    current_app.loader.import_default_modules()
    ours = {name for name in current_app.tasks if not name.startswith("celery.")}
    assert ours == {job.task for job in JOBS} == set(beat_schedule()) == set(task_routes())
