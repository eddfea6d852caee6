package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Kinds of frames from the machine.
const (
	frameStdout = 1
	frameStderr = 2
	frameExit   = 3 // the exit status in four bytes, big-endian; the last frame
	frameStart  = 4 // the command starts; the first frame
)

const (
	frameHeader = 5         // kind, and the length in four bytes, big-endian
	maxFrame    = 64 * 1024 // bytes of data in a frame
)

// errFrame: the port carried what is no frame.
var errFrame = errors.New("malformed frame")

// writeFrame writes one frame in one call. len(data) is at most maxFrame.
func writeFrame(to io.Writer, kind byte, data []byte) error {
	frame := append([]byte{kind}, binary.BigEndian.AppendUint32(nil, uint32(len(data)))...)
	_, err := to.Write(append(frame, data...))
	return err
}

// awaitStart reads the first frame.
func awaitStart(from io.Reader) error {
	var header [frameHeader]byte
	if _, err := io.ReadFull(from, header[:]); err != nil {
		return err
	}
	if header != [frameHeader]byte{frameStart} {
		return fmt.Errorf("%w: % x at the start", errFrame, header)
	}
	return nil
}

// copyFrames writes what comes to stdout and stderr until the exit frame, and returns
// the status. io.EOF: the port ended without one.
func copyFrames(from io.Reader, stdout, stderr io.Writer) (status int, err error) {
	for {
		var header [frameHeader]byte
		if _, err := io.ReadFull(from, header[:]); err != nil {
			return 0, err
		}
		length := binary.BigEndian.Uint32(header[1:])
		if length > maxFrame {
			return 0, fmt.Errorf("%w of %d bytes", errFrame, length)
		}
		data := make([]byte, length)
		if _, err := io.ReadFull(from, data); err != nil {
			return 0, err
		}
		switch header[0] {
		case frameStdout:
			_, err = stdout.Write(data)
		case frameStderr:
			_, err = stderr.Write(data)
		case frameExit:
			if len(data) != 4 {
				return 0, fmt.Errorf("%w: exit status of %d bytes", errFrame, len(data))
			}
			return int(binary.BigEndian.Uint32(data)), nil
		default:
			return 0, fmt.Errorf("%w of kind %d", errFrame, header[0])
		}
		if err != nil {
			return 0, err
		}
	}
}
