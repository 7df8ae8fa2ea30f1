"""Periodic actors, scheduled by any number of schedulers: each tick is published by one of them, and runs once.

    declare(broker, clean_up, periodic=cron("30 2 * * *"))

`Periodic` is the middleware that brings the option, `Scheduler` publishes the ticks, `run` is a process of it.
"""

from periodiq import cron

from chatbot.scheduling.periodic import Periodic
from chatbot.scheduling.process import run
from chatbot.scheduling.scheduler import Scheduler

__all__ = ["Periodic", "Scheduler", "cron", "run"]
