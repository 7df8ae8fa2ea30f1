"""A RabbitMQ that is configured as the broker asks for it: delays go on within seconds after a crash."""

from __future__ import annotations

from tests.servers import RabbitmqServer

ADVANCED = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 3000}]}].\n"


class PromptRabbitmqServer(RabbitmqServer):
    """A queue of the ladder may hand a message to the next one before that one is up again. The server waits for the
    confirm, three minutes by default, before it tries again."""

    def _write_files(self) -> None:
        super()._write_files()
        (self.directory / "advanced.config").write_text(ADVANCED)
        with (self.directory / "rabbitmq.conf").open("a") as config:
            config.write("collect_statistics_interval = 500\n")

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), "RABBITMQ_ADVANCED_CONFIG_FILE": f"{self.directory}/advanced.config"}
