package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sort"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	window         = 1<<31 - 1
	defaultWindow  = 65535
	maxFrame       = 16384
	messagePrefix  = 5
	replenishAfter = 1 << 29
)

// A plan says what is sent: `count` requests of the trace, by a rate or by the answers.
type plan struct {
	count, streams int
	rate           float64
}

type timing struct{ at, took time.Duration }

type stream struct {
	expect     byte
	since      time.Duration
	body       []byte
	grpcStatus string
}

// A report is what is written at the end.
type report struct {
	Answered int            `json:"answered"`
	Wrong    int            `json:"wrong"`
	Failed   map[string]int `json:"failed"`
	Seconds  float64        `json:"seconds"`
	P50      float64        `json:"p50_us"`
	P99      float64        `json:"p99_us"`
	Began    float64        `json:"began"` // seconds since the epoch
}

// A load is one connection and what is under way on it.
type load struct {
	conn     net.Conn
	requests []request
	plan     plan
	begin    time.Time

	mutex      sync.Mutex // guards all that follows: the pacer and the reader both send
	out        *bufio.Writer
	encoder    *hpack.Encoder
	block      bytes.Buffer
	under      map[uint32]*stream
	due        []time.Duration // of those that a rate has made due and no window has let out, when they were
	sent       int
	nextID     uint32
	sendWindow int64 // of the connection
	perStream  int64 // of a new stream
	maxStreams int

	in       *bufio.Reader
	framer   *http2.Framer
	decoder  *hpack.Decoder
	reading  *stream
	received int
	timings  []timing
	wrong    int
	failed   map[string]int
}

func dial(target string) (net.Conn, error) {
	if path, isUnix := strings.CutPrefix(target, "unix:"); isUnix {
		return net.Dial("unix", path)
	}
	return net.Dial("tcp", target)
}

func newLoad(conn net.Conn, requests []request, plan plan) *load {
	l := &load{
		conn: conn, requests: requests, plan: plan,
		in: bufio.NewReaderSize(conn, 1<<17), out: bufio.NewWriterSize(conn, 1<<17), under: map[uint32]*stream{}, nextID: 1,
		sendWindow: defaultWindow, perStream: defaultWindow, maxStreams: plan.streams,
		timings: make([]timing, 0, plan.count), failed: map[string]int{},
	}
	l.encoder = hpack.NewEncoder(&l.block)
	l.framer = http2.NewFramer(l.out, l.in)
	l.framer.SetReuseFrames()
	l.decoder = hpack.NewDecoder(4096, func(field hpack.HeaderField) {
		if field.Name == "grpc-status" && l.reading != nil {
			l.reading.grpcStatus = field.Value
		}
	})
	return l
}

func (l *load) run() (report, error) {
	l.begin = time.Now()
	if err := l.open(); err != nil {
		return report{}, err
	}
	if l.plan.rate > 0 {
		go l.pace()
	}
	for len(l.timings)+l.failures() < l.plan.count {
		if err := l.read(); err != nil {
			return report{}, fmt.Errorf("after %d answers: %w", len(l.timings), err)
		}
	}
	return l.report(time.Since(l.begin)), nil
}

func (l *load) open() error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	_, err := io.WriteString(l.out, http2.ClientPreface)
	err = errors.Join(err,
		l.framer.WriteSettings(
			http2.Setting{ID: http2.SettingEnablePush, Val: 0},
			http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}),
		l.framer.WriteWindowUpdate(0, window-defaultWindow))
	if l.plan.rate > 0 {
		return errors.Join(err, l.out.Flush())
	}
	return errors.Join(err, l.pump())
}

// pace makes requests due by the clock alone, so that a server that stalls does not slow down what is asked of it.
func (l *load) pace() {
	for made := 0; made < l.plan.count; {
		now := time.Since(l.begin)
		l.mutex.Lock()
		for ; made < min(l.plan.count, int(now.Seconds()*l.plan.rate)+1); made++ {
			l.due = append(l.due, now)
		}
		err := l.pump()
		l.mutex.Unlock()
		if err != nil {
			l.conn.Close()
			return
		}
		time.Sleep(time.Duration(float64(made)/l.plan.rate*float64(time.Second)) - time.Since(l.begin))
	}
}

// pump sends what is due and fits the windows. The mutex is held.
func (l *load) pump() error {
	for l.sent < l.plan.count && len(l.under) < l.maxStreams {
		if l.plan.rate > 0 && len(l.due) == 0 {
			break
		}
		next := l.requests[l.sent%len(l.requests)]
		size := int64(messagePrefix + len(next.message))
		if size > l.sendWindow || size > l.perStream {
			break
		}
		if err := l.send(next); err != nil {
			return err
		}
		l.sendWindow -= size
	}
	return l.out.Flush()
}

func (l *load) send(next request) error {
	since := time.Since(l.begin)
	if l.plan.rate > 0 {
		since, l.due = l.due[0], l.due[1:]
	}
	id := l.nextID
	l.nextID += 2
	l.sent++
	l.under[id] = &stream{expect: next.expect, since: since}
	if err := l.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: l.headers(), EndHeaders: true}); err != nil {
		return err
	}
	var prefix [messagePrefix]byte
	binary.BigEndian.PutUint32(prefix[1:], uint32(len(next.message)))
	message := append(prefix[:], next.message...)
	for len(message) > maxFrame {
		if err := l.framer.WriteData(id, false, message[:maxFrame]); err != nil {
			return err
		}
		message = message[maxFrame:]
	}
	return l.framer.WriteData(id, true, message)
}

func (l *load) headers() []byte {
	l.block.Reset()
	for _, field := range []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"},
		{Name: ":path", Value: "/envoy.service.auth.v3.Authorization/Check"}, {Name: ":authority", Value: "authz"},
		{Name: "te", Value: "trailers"}, {Name: "content-type", Value: "application/grpc"},
		{Name: "user-agent", Value: "bench"},
	} {
		l.encoder.WriteField(field)
	}
	return l.block.Bytes()
}

// read handles one frame, and sends what its answer has made room for.
func (l *load) read() error {
	frame, err := l.framer.ReadFrame()
	if err != nil {
		return err
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if err := l.handle(frame); err != nil || l.in.Buffered() > 0 {
		return err // what the answers in the buffer make room for goes out in one write
	}
	return l.pump()
}

func (l *load) handle(frame http2.Frame) error {
	switch frame := frame.(type) {
	case *http2.DataFrame:
		return l.data(frame)
	case *http2.HeadersFrame:
		return l.fields(frame)
	case *http2.SettingsFrame:
		return l.settings(frame)
	case *http2.WindowUpdateFrame:
		if frame.StreamID == 0 {
			l.sendWindow += int64(frame.Increment)
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			return l.framer.WritePing(true, frame.Data)
		}
	case *http2.RSTStreamFrame:
		l.finish(frame.StreamID, "reset: "+frame.ErrCode.String())
	case *http2.GoAwayFrame:
		return fmt.Errorf("the server says GOAWAY: %v %q", frame.ErrCode, frame.DebugData())
	}
	return nil
}

func (l *load) data(frame *http2.DataFrame) error {
	l.received += len(frame.Data())
	if under := l.under[frame.StreamID]; under != nil {
		under.body = append(under.body, frame.Data()...)
	}
	if frame.StreamEnded() {
		l.finish(frame.StreamID, "no trailers")
	}
	if l.received < replenishAfter {
		return nil
	}
	increment := uint32(l.received)
	l.received = 0
	return l.framer.WriteWindowUpdate(0, increment)
}

func (l *load) fields(frame *http2.HeadersFrame) error {
	if !frame.HeadersEnded() {
		return errors.New("headers go on in a second frame")
	}
	l.reading = l.under[frame.StreamID]
	if _, err := l.decoder.Write(frame.HeaderBlockFragment()); err != nil {
		return err
	}
	if frame.StreamEnded() && l.reading != nil {
		l.finish(frame.StreamID, "grpc-status "+l.reading.grpcStatus)
	}
	return l.decoder.Close()
}

func (l *load) settings(frame *http2.SettingsFrame) error {
	if frame.IsAck() {
		return nil
	}
	if value, ok := frame.Value(http2.SettingInitialWindowSize); ok {
		l.perStream = int64(value)
	}
	if value, ok := frame.Value(http2.SettingMaxConcurrentStreams); ok {
		l.maxStreams = int(min(int64(value), int64(l.plan.streams)))
	}
	if value, ok := frame.Value(http2.SettingHeaderTableSize); ok {
		l.encoder.SetMaxDynamicTableSizeLimit(value)
	}
	return l.framer.WriteSettingsAck()
}

// finish takes a stream off: judged if it was answered with grpc-status 0, else counted under why it was not.
func (l *load) finish(id uint32, why string) {
	ended := l.under[id]
	if ended == nil {
		return
	}
	delete(l.under, id)
	if ended.grpcStatus != "0" || len(ended.body) < messagePrefix {
		l.failed[why]++
		return
	}
	l.timings = append(l.timings, timing{ended.since, time.Since(l.begin) - ended.since})
	if ended.expect != expectAnything && allows(ended.body[messagePrefix:]) != (ended.expect == expectAllow) {
		l.wrong++
	}
}

func (l *load) failures() int {
	total := 0
	for _, count := range l.failed {
		total += count
	}
	return total
}

func (l *load) report(took time.Duration) report {
	sorted := make([]time.Duration, 0, len(l.timings))
	for _, each := range l.timings {
		sorted = append(sorted, each.took)
	}
	sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
	at := func(share float64) float64 {
		if len(sorted) == 0 {
			return 0
		}
		return float64(sorted[int(share*float64(len(sorted)-1))]) / float64(time.Microsecond)
	}
	return report{
		Answered: len(l.timings), Wrong: l.wrong, Failed: l.failed, Seconds: took.Seconds(), P50: at(0.5), P99: at(0.99),
		Began: float64(l.begin.UnixNano()) / 1e9,
	}
}
