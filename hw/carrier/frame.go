package carrier

import (
	"encoding/binary"
	"errors"
	"fmt"

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

// wholeFrames is how many bytes of b are whole datagrams behind their lengths, how many of them
// there are, and how long b has to become for one more, as far as that is known.
func wholeFrames(b []byte) (n, count, need int, err error) {
	for {
		rest := b[n:]
		if len(rest) < lengthLen {
			return n, count, n + lengthLen, nil
		}
		length := int(binary.BigEndian.Uint16(rest))
		if length == 0 || length > fabric.MaxDatagram {
			return n, count, 0, fmt.Errorf("%w: its length is %d", errFrame, length)
		}
		if len(rest) == lengthLen { // no memory is taken for what a stranger says
			return n, count, n + lengthLen + 1, nil
		}
		if _, err := fabric.TypeOf(rest[lengthLen:]); err != nil {
			return n, count, 0, fmt.Errorf("%w: %w", errFrame, err)
		}
		if len(rest) < lengthLen+length {
			return n, count, n + lengthLen + length, nil
		}
		n += lengthLen + length
		count++
	}
}

// cutFrame is the first datagram of whole ones, and what is behind it.
func cutFrame(b []byte) (datagram, rest []byte) {
	n := lengthLen + int(binary.BigEndian.Uint16(b))
	return b[lengthLen:n], b[n:]
}
