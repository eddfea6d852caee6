package carrier

import (
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/fabric"
)

// A dial from a given address that began while nothing passed waits long between its tries; what
// a link sends meanwhile goes by the connection that brought its handshake.
func TestAConnectionThatIsUpGoesBeforeOneThatIsBeingDialled(t *testing.T) {
	for _, by := range []fabric.Carrier{fabric.QUIC, fabric.TLS} {
		a, b := open(t, fabric.AllCarriers), open(t, fabric.AllCarriers)
		reader(t, a)
		atB := reader(t, b)
		given := at(b, by)
		given.Local = netip.IPv6Loopback()
		k := key{by, given.Addr, given.Local}
		waits := a.newConnection(fabric.Path{Local: fabric.Local{Addr: given.Local}, Remote: given.Addr, Carrier: by}, false)
		a.mu.Lock()
		a.register(waits, k)
		a.mu.Unlock()

		write(t, a, at(b, by), datagram(20, 'a')) // from whatever address the kernel chooses: the same
		next(t, atB)
		write(t, a, given, datagram(20, 'b'))
		if p := next(t, atB); p.Data[1] != 'b' {
			t.Errorf("%s: %x", by, p.Data)
		}
		if waits.ctx.Err() == nil || a.Connections(by) != 1 {
			t.Errorf("%s: the other one goes on, with %d connections", by, a.Connections(by))
		}
	}
}

// A dial may take longer than an answer.
func TestWhatWaitedForTheDialIsAskedForOnceItIsUp(t *testing.T) {
	c := open(t, fabric.AllCarriers)
	n := c.newConnection(fabric.Path{Carrier: fabric.TLS}, false)
	defer n.cancel()
	n.put(datagram(9, 'd'), 9)
	for _, stalled := range []bool{false, true} {
		n.began = n.began.Add(-2 * StallAfter)
		if n.link == nil {
			n.cameUp(&stuck{}, fabric.Local{})
		}
		if n.stalled() != stalled {
			t.Errorf("taken for dead: %v, want %v", n.stalled(), stalled)
		}
	}
}

// The answer may come before put returns, and must not be waited for from then on.
func TestWhatIsSentIsAskedForBeforeItGoes(t *testing.T) {
	c := open(t, fabric.AllCarriers)
	n := c.newConnection(fabric.Path{Carrier: fabric.TLS}, false)
	defer n.cancel()
	n.queue.mu.Lock() // it cannot go yet
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.put(datagram(9, 'd'), 9)
	}()
	for deadline := time.Now().Add(patience); n.asked.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error("nothing is asked for")
			break
		}
	}
	n.queue.mu.Unlock()
	<-done
}
