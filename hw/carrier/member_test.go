package carrier

import (
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/fabric"
)

// acceptFrom has a peer at a port begin a connection.
func acceptFrom(t *testing.T, c *Conn, port uint16) (*connection, fabric.Path) {
	t.Helper()
	path := fabric.Path{Local: fabric.Local{Addr: netip.IPv6Loopback()}, Remote: netip.AddrPortFrom(netip.IPv6Loopback(), port), Carrier: fabric.TLS}
	n := c.newConnection(path, true)
	n.answers.Store(true)
	if !c.accept(n) {
		t.Fatal("it is not taken")
	}
	t.Cleanup(n.end)
	return n, path
}

func TestConnectionsOfAMemberAreBounded(t *testing.T) {
	c := open(t, fabric.AllCarriers)
	one, other := addr.NodeID{1}, addr.NodeID{2}
	stays, path := acceptFrom(t, c, 1)
	c.Proven(path, other)
	var all []*connection
	for i := range MaxMemberConnections + 3 {
		n, path := acceptFrom(t, c, uint16(10+i))
		n.touched.Store(int64(time.Hour) - n.began.Sub(stays.began).Nanoseconds() + int64(i)) // ever later
		c.Proven(path, one)
		c.Proven(path, one) // says nothing new
		all = append(all, n)
	}
	for i, n := range all {
		if ended := n.ctx.Err() != nil; ended != (i < 3) {
			t.Errorf("connection %d of %d: ended: %v", i+1, len(all), ended)
		}
	}
	if stays.ctx.Err() != nil {
		t.Error("that of another node has ended")
	}
}

func TestAConnectionByWhichNobodyProvesItselfIsClosed(t *testing.T) {
	c := open(t, fabric.AllCarriers)
	n, path := acceptFrom(t, c, 1)
	proven, byPath := acceptFrom(t, c, 2)
	c.Proven(byPath, addr.NodeID{1})
	c.Proven(fabric.Path{Remote: path.Remote, Local: path.Local}, addr.NodeID{1}) // by UDP
	for _, at := range []time.Duration{ProvenWithin - 1, ProvenWithin} {
		n.touched.Store(int64(at)) // it is busy
		proven.touched.Store(int64(at))
		c.sweep(n.began.Add(at))
		if ended := n.ctx.Err() != nil; ended != (at == ProvenWithin) {
			t.Errorf("after %v: ended: %v", at, ended)
		}
	}
	if proven.ctx.Err() != nil {
		t.Error("that of a node that has proven itself ended too")
	}
}
