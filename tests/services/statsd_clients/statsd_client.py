"""Calls all of Python's statsd: statsd_client.py each udp|tcp HOST PORT, or statsd_client.py each stream PATH."""

import random
import sys

import statsd


def main(_manner, transport, *address):
    """Makes each call that the library has, one by one, and then in a pipeline."""
    if transport == "udp":
        client = statsd.StatsClient(address[0], int(address[1]), prefix="py")
    elif transport == "tcp":
        client = statsd.TCPStatsClient(address[0], int(address[1]), prefix="py")
    else:
        client = statsd.UnixSocketStatsClient(address[0], prefix="py")
    for _ in range(100):
        client.incr("incr")
    client.decr("decr", 3)
    # Each of those that the rate would choose is chosen.
    random.random = lambda: 0.0
    client.incr("rated", 2, rate=0.5)
    client.gauge("gauge", 12.5)
    client.gauge("relative", 3, delta=True)
    client.gauge("relative", -2, delta=True)
    client.timing("timing", 320)
    with client.timer("timed"):
        pass
    client.timer("timed")(lambda: None)()
    for member in ["alice", "bob"]:
        client.set("set", member)
    with client.pipeline() as pipe:
        pipe.incr("incr", 5)
        # A gauge below zero is sent as 0 and a change of it.
        pipe.gauge("negative", -4)
        pipe.timing("timing", 17.5)
    if transport != "udp":
        client.close()


main(*sys.argv[1:])
