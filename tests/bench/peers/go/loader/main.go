// Command loader asks a gRPC server for checks over one HTTP/2 connection, each time with another body, and judges
// every answer. It writes frames by hand: a client that cost as much as a server would measure itself.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "loader:", err)
		os.Exit(1)
	}
}

func run() error {
	target := flag.String("target", "", "host:port or unix:/path of the server")
	traceFile := flag.String("trace", "", "requests: for each one byte of expectation, four of length (little endian), the message")
	streams := flag.Int("streams", 32, "how many are under way at once, at most")
	rate := flag.Float64("rate", 0, "checks per second, whatever the answers do; 0 sends the next as soon as one is answered")
	count := flag.Int("count", 0, "how many; beyond its end the trace begins anew; 0 is to the end of the trace")
	limit := flag.Duration("limit", 2*time.Minute, "give up after this time")
	latencies := flag.String("latencies", "", "file for two int64 (little endian) per answer: nanoseconds from the start, and taken")
	flag.Parse()

	requests, err := readTrace(*traceFile)
	if err != nil {
		return err
	}
	if *count == 0 {
		*count = len(requests)
	}
	conn, err := dial(*target)
	if err != nil {
		return err
	}
	defer conn.Close()
	if *rate == 0 {
		if conn, err = poll(conn); err != nil {
			return err
		}
	}
	time.AfterFunc(*limit, func() { conn.Close() })
	load := newLoad(conn, requests, plan{count: *count, streams: *streams, rate: *rate})
	report, err := load.run()
	if err != nil {
		return err
	}
	if *latencies != "" {
		if err := writeLatencies(*latencies, load.timings); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}
