"""mq-bridge from HTTP to a Kafka topic: a record a request, answered once Kafka has it."""

import sys

from mq_bridge import Route

listen, brokers, topic = sys.argv[1:]
Route.from_config(
    {
        "input": {"http": {"url": listen, "method": "POST"}},
        "output": {"kafka": {"url": brokers, "topic": topic, "create_topic": False}},
    }
).run()
