// Calls all of Go's datadog-go: dogstatsd-client buffered|aggregated|extended udp HOST PORT, or ... datagram|stream PATH.
package main

import (
	"log"
	"os"
	"time"

	"github.com/DataDog/datadog-go/v5/statsd"
)

func main() {
	manner := map[string]statsd.Option{
		"buffered":   statsd.WithoutClientSideAggregation(),
		"aggregated": statsd.WithClientSideAggregation(),
		"extended":   statsd.WithExtendedClientSideAggregation(),
	}[os.Args[1]]
	address := os.Args[3]
	switch os.Args[2] {
	case "udp":
		address += ":" + os.Args[4]
	case "datagram":
		address = "unixgram://" + address
	case "stream":
		address = "unixstream://" + address
	}
	client, err := statsd.New(address, statsd.WithNamespace("go."), statsd.WithTags([]string{"env:test"}), manner)
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
	check(client.Gauge("gauge", 12, nil, 1))
	check(client.Gauge("gauge", 12.5, nil, 1))
	at := time.Now().Add(-time.Minute)
	check(client.GaugeWithTimestamp("gauge.at", 7, nil, 1, at))
	check(client.CountWithTimestamp("count.at", 3, nil, 1, at))
	for _, value := range []float64{1, 2.5, 7, 8, 100} {
		check(client.Histogram("histogram", value, []string{"route:/a"}, 1))
		check(client.Distribution("distribution", value, nil, 1))
		check(client.TimeInMilliseconds("timing", value, nil, 1))
	}
	check(client.Timing("duration", 320*time.Millisecond, nil, 1))
	check(client.Set("set", "alice", nil, 1))
	check(client.Set("set", "bob", nil, 1))
	check(client.ServiceCheck(&statsd.ServiceCheck{Name: "go.check", Status: statsd.Warn, Hostname: "web01",
		Message: "slow | very\nm: x", Tags: []string{"a:b"}}))
	check(client.SimpleServiceCheck("go.simple", statsd.Ok))
	check(client.SimpleEvent("simple", "text"))
	check(client.Event(&statsd.Event{Title: "größe|x", Text: "line one\nline | two", AggregationKey: "k",
		Priority: statsd.Low, AlertType: statsd.Success, Hostname: "web01", SourceTypeName: "s", Tags: []string{"a:b"}}))
	check(client.Flush())
	check(client.Close())
}
