package carrier

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"re6st/protocols/fabric"
)

// errFrame says that a stream has something in it that is no datagram of ours.
var errFrame = errors.New("no datagram of this protocol")

const lengthLen = 2

// appendFrame appends a datagram behind its length.
func appendFrame(dst, datagram []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(datagram)))
	return append(dst, datagram...)
}

// readFrame reads one datagram into memory that grow gives for its length.
func readFrame(r io.Reader, grow func(n int) []byte) ([]byte, error) {
	var length [lengthLen]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n == 0 || n > fabric.MaxDatagram {
		return nil, fmt.Errorf("%w: its length is %d", errFrame, n)
	}
	var first [1]byte // before memory is taken for what a stranger says
	if _, err := io.ReadFull(r, first[:]); err != nil {
		return nil, unexpected(err)
	}
	if _, err := fabric.TypeOf(first[:]); err != nil {
		return nil, fmt.Errorf("%w: %w", errFrame, err)
	}
	b := grow(n)
	b[0] = first[0]
	if _, err := io.ReadFull(r, b[1:]); err != nil {
		return nil, unexpected(err)
	}
	return b, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
