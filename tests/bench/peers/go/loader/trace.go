package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// What an answer must be. A floor decides nothing, so anything is right.
const (
	expectAnything = iota
	expectAllow
	expectRefuse
)

// A request is the serialized CheckRequest, and what must become of it.
type request struct {
	expect  byte
	message []byte
}

func readTrace(path string) ([]request, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	reader := bufio.NewReaderSize(file, 1<<20)
	var requests []request
	for {
		next, err := readRequest(reader)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		requests = append(requests, next)
	}
	if len(requests) == 0 {
		return nil, fmt.Errorf("%s: no request", path)
	}
	return requests, nil
}

func readRequest(reader io.Reader) (request, error) {
	var head [5]byte
	if _, err := io.ReadFull(reader, head[:]); err != nil {
		return request{}, err
	}
	message := make([]byte, binary.LittleEndian.Uint32(head[1:]))
	if _, err := io.ReadFull(reader, message); err != nil {
		return request{}, fmt.Errorf("cut off: %v", err)
	}
	return request{head[0], message}, nil
}

func writeLatencies(path string, timings []timing) error {
	raw := make([]byte, 0, 16*len(timings))
	for _, each := range timings {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(each.at))
		raw = binary.LittleEndian.AppendUint64(raw, uint64(each.took))
	}
	return os.WriteFile(path, raw, 0o644)
}
