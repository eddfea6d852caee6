package trace

import (
	"encoding/binary"
	"fmt"

	"re6st/protocols/ktunnel"
)

// Extensions of a reply are for those who said in their probe that they read them: nodes of
// before take a reply of another length for spoilt. Each is a type (1), a length (1) and so
// many bytes; a reader passes over those that it does not know.
const (
	extensionLoss   = 1 // probes (2), lost (2)
	extensionTunnel = 2 // kind (1), as protocols/ktunnel numbers it

	extensionHeaderLen = 2
)

// Loss is how many of a link's own probes went unanswered in the last minute.
type Loss struct {
	Probes uint16 // 0: not known
	Lost   uint16 // of these
}

// isExtended tells whether there is something to say that takes an extension.
func (w Way) isExtended() bool { return w.Loss.Probes > 0 || w.Tunnel != 0 }

func (w Way) appendExtensions(dst []byte) []byte {
	if w.Loss.Probes > 0 {
		dst = append(dst, extensionLoss, 4)
		dst = binary.BigEndian.AppendUint16(dst, w.Loss.Probes)
		dst = binary.BigEndian.AppendUint16(dst, w.Loss.Lost)
	}
	if w.Tunnel != 0 {
		dst = append(dst, extensionTunnel, 1, byte(w.Tunnel))
	}
	return dst
}

// readExtensions takes what is known; it fails with ErrReply where they are cut off.
func (w *Way) readExtensions(b []byte) error {
	for len(b) > 0 {
		if len(b) < extensionHeaderLen || len(b) < extensionHeaderLen+int(b[1]) {
			return fmt.Errorf("%w: an extension is cut off", ErrReply)
		}
		kind, value := b[0], b[extensionHeaderLen:extensionHeaderLen+int(b[1])]
		b = b[extensionHeaderLen+len(value):]
		switch {
		case kind == extensionLoss && len(value) == 4:
			w.Loss = Loss{binary.BigEndian.Uint16(value), binary.BigEndian.Uint16(value[2:])}
			w.Loss.Lost = min(w.Loss.Lost, w.Loss.Probes)
		case kind == extensionTunnel && len(value) == 1:
			w.Tunnel = ktunnel.Kind(value[0])
		}
	}
	return nil
}
