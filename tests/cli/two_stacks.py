"""A project of two stacks, each with a plain template and a rule of its own."""

RULES = """\
version = 1
project = "two"
environment = "dev"

[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]

[targets.queue]
kind = "stack"
stack = "Queue"
template = "infra/queue.json"
estimate = "5s"

[targets.topic]
kind = "stack"
stack = "Topic"
template = "infra/topic.json"
estimate = "5s"

[[rules]]
name = "Infra"
paths = ["infra/queue.json"]
deploy = ["queue"]

[[rules]]
name = "Topic"
paths = ["infra/topic.json"]
deploy = ["topic"]
"""
