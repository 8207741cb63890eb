"""The Celery application. Every setting that is not Celery's default stands here with its reason."""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Exchange, Queue

import beat_schedule
import settings as environment
from providers import PROVIDERS
from worker import transport

EVENTS_QUEUE = "events"
CONTROL_QUEUE = "control"


def deliver_queue(provider: str) -> str:
    """The queue of a provider's deliveries."""
    return f"deliver.{provider}"


def queues() -> list[str]:
    """Every queue of ours."""
    return [EVENTS_QUEUE, CONTROL_QUEUE, *(deliver_queue(name) for name in sorted(PROVIDERS))]


def redis_url(current: environment.Settings) -> str:
    """Where Redis is. Raises ConfigurationError when nobody said it."""
    if not current.redis_url:
        raise environment.ConfigurationError(
            "REDIS_URL is not set: give the address of the Redis that Agent Mesh uses, such as redis://host:6379/0."
        )
    return current.redis_url


def _configuration() -> dict[str, Any]:
    """Read at first use, so that importing this module needs no environment."""
    current = environment.current()
    broker_url = redis_url(current)
    if current.mesh_transport == "own":
        transport.install()
    exchange = Exchange("mesh", type="direct")
    return {
        "broker_url": broker_url,
        "broker_transport_options": _transport_options(current),
        # Workers wait for Redis however long it is away; publishers give up quickly, since Postgres keeps the work.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_pool_limit": current.mesh_worker_threads + 4,
        "broker_pool_acquire_timeout": 5,
        "task_publish_retry_policy": {
            "max_retries": 3,
            "interval_start": 0.1,
            "interval_step": 0.2,
            "interval_max": 0.5,
        },
        # Acknowledge after the work is recorded. A failure is recorded too: the broker never loops a message.
        "task_acks_late": True,
        "task_acks_on_failure": True,
        "task_acks_on_timeout": True,
        "task_reject_on_worker_lost": False,
        "worker_prefetch_multiplier": 8,  # events are accepted many at a time; deliveries have a cap
        "worker_disable_prefetch": False,
        "worker_enable_prefetch_count_reduction": False,  # else throughput creeps back after each blip
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # threads cannot; the lease covers it
        "worker_eta_task_limit": 100,
        "worker_disable_rate_limits": True,  # they are per worker, and hold prefetched messages
        "worker_detect_quorum_queues": False,
        # Results live in Postgres.
        "result_backend": None,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_track_started": False,
        # JSON only, one exchange, declared queues: a typo fails instead of making a queue nobody reads.
        "accept_content": ["json"],
        "task_serializer": "json",
        "event_serializer": "json",
        "task_create_missing_queues": False,
        "task_queues": [Queue(name, exchange, routing_key=name) for name in queues()],
        "task_default_queue": EVENTS_QUEUE,
        "task_default_exchange": "mesh",
        "task_default_routing_key": EVENTS_QUEUE,
        "task_routes": {
            "events.publish": {"queue": EVENTS_QUEUE},
            "tokens.refresh": {"queue": CONTROL_QUEUE},
            **{entry["task"]: {"queue": CONTROL_QUEUE} for entry in beat_schedule.SCHEDULE.values()},
        },
        "imports": (
            "worker.lifecycle",
            "tasks.events",
            "tasks.deliveries",
            "tasks.syncs",
            "tasks.tokens",
            "tasks.upkeep",
        ),
        # Flower sees ids only; events cost about a fifth of a worker's time, so they are on only where asked for.
        "worker_send_task_events": current.mesh_task_events,
        "task_send_sent_event": False,
        "worker_consumer": "worker.consumer:Consumer",
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "enable_utc": True,
        "timezone": "UTC",
        "beat_schedule": beat_schedule.celery_schedule(),
        "beat_max_loop_interval": 1,
    }


def _transport_options(current: environment.Settings) -> dict[str, Any]:
    return {
        # A killed worker's messages come back after this many seconds. A copy of one that still runs does no harm: a
        # delivery is claimed once, an event is named by its message.
        "visibility_timeout": 45,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "unacked_restore_limit": 200,
        "unacked_mutex_expire": 30,
        "socket_timeout": 10,  # > the one second that BRPOP waits
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "priority_steps": [0, 9],  # what waits behind everything else: backlogs, and lists of many events
        "queue_order_strategy": "round_robin",
        "global_keyprefix": current.mesh_key_prefix,
        "body_encoding": "utf-8",  # no base64 both ways
        "client_name": "mesh",
        # A delivering task may wait for a call slot: no more than half of the threads do.
        "capped": "deliver.",
        "cap": max(1, current.mesh_worker_threads // 2),
    }


app = Celery("mesh", set_as_current=True)
app.add_defaults(_configuration)
