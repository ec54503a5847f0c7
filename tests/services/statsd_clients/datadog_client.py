"""Calls all of Python's datadog: datadog_client.py udp HOST PORT, or datadog_client.py unix PATH."""

import sys

from datadog.dogstatsd.base import DogStatsd


def main(kind, *address):
    """Sends each kind of call, buffered as the library does it by itself, and once unbuffered."""
    where = {"host": address[0], "port": int(address[1])} if kind == "udp" else {"socket_path": address[0]}
    # By itself it drops what a full unix socket does not take at once.
    client = DogStatsd(namespace="py", constant_tags=["env:test"], socket_timeout=60, **where)
    for _ in range(1000):
        client.increment("incr", tags=["az:1"])
    client.decrement("decr", 3)
    client.increment("rated", 2, sample_rate=1)
    client.gauge("gauge", 12.5)
    client.gauge_with_timestamp("gauge.at", 7, 1700000000)
    client.count_with_timestamp("count.at", 3, 1700000000)
    for value in [1, 2.5, 7, 8, 100]:
        client.histogram("histogram", value, tags=["route:/a"])
        client.distribution("distribution", value)
        client.timing("timing", value)
    for member in ["alice", "bob", "alice"]:
        client.set("set", member)
    client.event("größe|x", "line one\nline | two", alert_type="success", aggregation_key="k", priority="low",
                 source_type_name="s", hostname="web01", tags=["a:b"])
    client.service_check("py.check", client.WARNING, message="slow | very\nm: x", hostname="web01", tags=["a:b"])
    client.flush()
    client.disable_buffering = True
    client.increment("unbuffered")
    client.close_socket()


main(*sys.argv[1:])
