// Calls all of Go's datadog-go: dogstatsd-client HOST:PORT, unixgram:///PATH or unixstream:///PATH.
package main

import (
	"log"
	"os"
	"time"

	"github.com/DataDog/datadog-go/v5/statsd"
)

func main() {
	client, err := statsd.New(os.Args[1], statsd.WithNamespace("go."), statsd.WithTags([]string{"env:test"}),
		statsd.WithExtendedClientSideAggregation())
	if err != nil {
		log.Fatal(err)
	}
	check := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	for i := 0; i < 1000; i++ {
		check(client.Incr("incr", []string{"az:1"}, 1))
	}
	check(client.Count("count", 41, nil, 1))
	check(client.Decr("decr", nil, 1))
	check(client.Gauge("gauge", 12.5, nil, 1))
	check(client.GaugeWithTimestamp("gauge.at", 7, nil, 1, time.Unix(1700000000, 0)))
	check(client.CountWithTimestamp("count.at", 3, nil, 1, time.Unix(1700000000, 0)))
	for _, value := range []float64{1, 2.5, 7, 8, 100} {
		check(client.Histogram("histogram", value, []string{"route:/a"}, 1))
		check(client.Distribution("distribution", value, nil, 1))
		check(client.TimeInMilliseconds("timing", value, nil, 1))
	}
	check(client.Set("set", "alice", nil, 1))
	check(client.Set("set", "bob", nil, 1))
	check(client.ServiceCheck(&statsd.ServiceCheck{Name: "go.check", Status: statsd.Warn, Hostname: "web01",
		Message: "slow | very\nm: x", Tags: []string{"a:b"}}))
	check(client.Event(&statsd.Event{Title: "größe|x", Text: "line one\nline | two", AggregationKey: "k",
		Priority: statsd.Low, AlertType: statsd.Success, Hostname: "web01", SourceTypeName: "s", Tags: []string{"a:b"}}))
	check(client.Flush())
	check(client.Close())
}
