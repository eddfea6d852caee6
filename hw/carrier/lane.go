package carrier

import (
	"net/netip"

	"re6st/hw/sock"
)

// lane is a further socket of UDP's port. What comes there of QUIC goes the way of the rest;
// what connections bring, the first socket's reader takes.
type lane struct {
	*Conn
	udp sock.Conn
}

// Lanes are the sockets of Config.More, to read from and to write to as from a sock.Conn, each
// by a reader of its own. They are closed with the Conn, and that with any of them.
func (c *Conn) Lanes() []sock.Conn {
	all := make([]sock.Conn, len(c.more))
	for i, udp := range c.more {
		all[i] = &lane{c, udp}
	}
	return all
}

// ReadBatch is as in sock.Conn.
func (l *lane) ReadBatch(packets []sock.Packet) (int, error) {
	for {
		n, err := l.udp.ReadBatch(packets)
		if err != nil {
			return 0, err
		}
		if n = l.sift(packets[:n]); n > 0 {
			return n, nil
		}
	}
}

// WriteBatch is as in sock.Conn: UDP's go by this socket.
func (l *lane) WriteBatch(packets []sock.Packet) (int, error) { return l.writeVia(l.udp, packets) }

// LocalAddr is as in sock.Conn.
func (l *lane) LocalAddr() netip.AddrPort { return l.udp.LocalAddr() }

// Stats are those of this socket alone.
func (l *lane) Stats() sock.Stats { return l.udp.Stats() }
