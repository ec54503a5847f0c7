"""Calls all of Python's statsd: statsd_client.py udp|tcp HOST PORT, or statsd_client.py unix PATH."""

import sys

import statsd


def main(kind, *address):
    """Sends each kind of call, one by one, and then in a pipeline."""
    if kind == "udp":
        client = statsd.StatsClient(address[0], int(address[1]), prefix="py")
    elif kind == "tcp":
        client = statsd.TCPStatsClient(address[0], int(address[1]), prefix="py")
    else:
        client = statsd.UnixSocketStatsClient(address[0], prefix="py")
    for _ in range(100):
        client.incr("incr")
    client.decr("decr", 3)
    client.incr("rated", 2, rate=1)
    client.gauge("gauge", 12.5)
    client.gauge("relative", 3, delta=True)
    client.gauge("relative", -2, delta=True)
    client.timing("timing", 320)
    for member in ["alice", "bob"]:
        client.set("set", member)
    with client.pipeline() as pipe:
        pipe.incr("incr", 5)
        # A gauge below zero is sent as 0 and a change of it.
        pipe.gauge("negative", -4)
        pipe.timing("timing", 17.5)
    if kind != "udp":
        client.close()


main(*sys.argv[1:])
