"""One file a command: parse, call the flow, show."""

import gc

# A command is over before the collector has earned its keep: with its usual threshold it takes 3 of
# the 60 ms of a `diff`.
gc.set_threshold(100_000, 50, 50)
