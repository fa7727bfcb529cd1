package main

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// A polling connection is read without ever sleeping. Where a loader sleeps until the next answer, each answer of a
// server that is slower than the loader pays for waking it, and those of a faster server do not: a third of what a
// check costs here would be the loader's.
type polling struct {
	net.Conn
	raw syscall.RawConn
}

func poll(conn net.Conn) (net.Conn, error) {
	withFile, ok := conn.(syscall.Conn)
	if !ok {
		return nil, errors.New("a connection without a file cannot be polled")
	}
	raw, err := withFile.SyscallConn()
	return &polling{conn, raw}, err
}

func (p *polling) Read(into []byte) (int, error) {
	for {
		var size int
		var failure error
		if err := p.raw.Read(func(file uintptr) bool {
			size, failure = syscall.Read(int(file), into)
			return true
		}); err != nil {
			return 0, err
		}
		switch {
		case failure == syscall.EAGAIN || failure == syscall.EINTR:
		case failure != nil:
			return 0, failure
		case size == 0 && len(into) > 0:
			return 0, io.EOF
		default:
			return size, nil
		}
	}
}
