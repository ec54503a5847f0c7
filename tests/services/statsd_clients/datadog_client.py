"""Calls all of Python's datadog: datadog_client.py buffered|aggregated|each udp HOST PORT, or ... datagram|stream PATH."""

import sys
import time

from datadog.dogstatsd import base


def main(manner, transport, *address):
    """Makes each call that the library has."""
    schemes = {"datagram": "unixgram://", "stream": "unixstream://"}
    where = {"socket_path": schemes.get(transport, "") + address[0]}
    if transport == "udp":
        where = {"host": address[0], "port": int(address[1])}
    # By itself it drops what a full unix socket does not take at once.
    client = base.DogStatsd(namespace="py", constant_tags=["env:test"], socket_timeout=60,
                            disable_buffering=manner == "each", disable_aggregation=manner != "aggregated",
                            max_metric_samples_per_context=1000, **where)
    for _ in range(1000):
        client.increment("incr", tags=["az:1"])
    client.count("count", 41)
    client.decrement("decr", 3)
    client.gauge("gauge", 12.5)
    now = int(time.time())
    client.gauge_with_timestamp("gauge.at", 7, now - 60)
    client.count_with_timestamp("count.at", 3, now - 60)
    for value in [1, 2.5, 7, 8, 100]:
        client.histogram("histogram", value, tags=["route:/a"])
        client.distribution("distribution", value)
    # Each of those that the rate would choose is chosen.
    base.random = lambda: 0.0
    client.increment("rated", 2, sample_rate=0.5)
    for value in [1, 2.5, 7, 8, 100]:
        # Who aggregates chooses of its samples itself.
        client.timing("timing", value, sample_rate=1 if manner == "aggregated" else 0.25)
    with client.timed("timed"):
        pass
    client.timed("timed")(lambda: None)()
    with client.distributed("timed.distributed"):
        pass
    for member in ["alice", "bob", "alice"]:
        client.set("set", member)
    client.event("größe|x", "line one\nline | two", alert_type="success", aggregation_key="k", priority="low",
                 source_type_name="s", hostname="web01", tags=["a:b"])
    client.service_check("py.check", client.WARNING, message="slow | very\nm: x", hostname="web01", tags=["a:b"])
    if manner == "aggregated":
        client.flush_aggregated_metrics()
    client.flush()
    client.close_socket()


main(*sys.argv[1:])
