"""Celery: workers that drain rows, nudged by name or by the beat. Messages carry no data."""

import os
import sys
from typing import Any, Final

from celery import Celery
from celery.signals import setup_logging, task_postrun, task_prerun, worker_init
from django.conf import settings
from django.db import close_old_connections

from cssm.common.priority import step_back
from cssm.schedule import beat_schedule, task_routes

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cssm.settings")

NICENESS: Final = 5
"""Of workers: who answers people and devices goes first where they share a machine. Not more, for each message reads
what is not folded yet."""

app = Celery("cssm")


def _configure() -> dict[str, Any]:
    config: dict[str, Any] = {
        "broker_url": settings.CELERY_BROKER_URL,
        "task_ignore_result": True,
        "task_default_queue": "default",
        "task_routes": task_routes(),
        "beat_schedule": beat_schedule(),
        "beat_schedule_filename": str(settings.VAR_DIR / "beat-schedule"),
        "broker_connection_retry_on_startup": True,
        "worker_prefetch_multiplier": 1,
        "task_acks_late": False,
        "timezone": "UTC",
        "imports": [
            "cssm.common.tasks",
            "pki.tasks",
            "accounts.tasks",
            "alerts.tasks",
            "licensing.tasks",
            "sync.tasks",
        ],
        "worker_send_task_events": False,
        "event_queue_exclusive": False,
        # Tasks run several times a second: with a new connection for each they would cost PostgreSQL more than they do.
        "CELERY_DB_REUSE_MAX": sys.maxsize,
    }
    if settings.CELERY_BROKER_URL.startswith("filesystem:"):
        folder = settings.EMBEDDED_BROKER_DIR
        for part in ("messages", "control"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        config["broker_transport"] = "cssm.common.file_broker:Transport"
        config["broker_transport_options"] = {
            "data_folder_in": str(folder / "messages"),
            "data_folder_out": str(folder / "messages"),
            "control_folder": str(folder / "control"),
            "store_processed": False,
        }
        config["worker_enable_remote_control"] = False
    elif settings.CELERY_BROKER_URL.startswith(("redis", "amqp")):
        # Otherwise a request that nudges waits six seconds for a broker that is gone. Workers reconnect by other rules.
        options: dict[str, Any] = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}
        if settings.CELERY_BROKER_URL.startswith("redis"):
            options |= {"global_keyprefix": f"{settings.KEY_PREFIX}:", "socket_connect_timeout": 2.0}
        config["broker_transport_options"] = options
    return config


app.add_defaults(_configure)


@setup_logging.connect
def _keep_logging(**_: Any) -> None:
    """Celery must not replace the logging configured in the settings."""


@task_prerun.connect
@task_postrun.connect
def _keep_connections(**_: Any) -> None:
    """As Django around a request: a connection lasts for its age, and one that broke is not used again."""
    close_old_connections()


@worker_init.connect
def _step_back(**_: Any) -> None:
    """Before its threads are started."""
    step_back(NICENESS)


def load_clients() -> None:
    """Load what the first nudge of a process would wait for: the clients of the broker and of the results."""
    app.connection_for_write().get_transport_cls()
    _ = app.backend
