package portmap_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/portmap"
)

var (
	gateway = netip.MustParseAddr("192.168.1.1")
	self    = netip.MustParseAddr("192.168.1.2")
	outside = netip.MustParseAddrPort("11.0.0.6:7326")
)

// bench is a client, the clock, and a gateway that knows some of the protocols.
type bench struct {
	t       *testing.T
	now     time.Time
	c       *portmap.Client
	knows   []portmap.Protocol
	address netip.Addr // outside
	events  []portmap.Event
	sent    int
}

func newBench(t *testing.T, knows ...portmap.Protocol) *bench {
	b := &bench{t: t, now: time.Unix(1e9, 0), c: portmap.NewClient(7326, testNonce(t)), knows: knows, address: outside.Addr()}
	b.c.HandleGateway(b.now, gateway, self)
	b.settle()
	return b
}

// settle has the gateway answer what the client asks.
func (b *bench) settle() {
	for more := true; more; {
		more = false
		b.c.Drain(func(e portmap.Event) {
			more = true
			b.events = append(b.events, e)
			switch e := e.(type) {
			case portmap.Send:
				b.sent++
				if answer := b.answer(e.Datagram); answer != nil {
					b.c.HandleDatagram(b.now, answer)
				}
			case portmap.AskIGD:
				if slices.Contains(b.knows, portmap.IGD) {
					b.c.HandleIGD(b.now, e.Number, netip.AddrPortFrom(b.address, e.External), e.Lifetime, nil)
				} else {
					b.c.HandleIGD(b.now, e.Number, netip.AddrPort{}, 0, portmap.ErrRefused)
				}
			case portmap.ReleaseIGD, portmap.Mapped, portmap.Unmapped:
			}
		})
	}
}

func (b *bench) answer(request []byte) []byte {
	lifetime := uint32(portmap.Lifetime / time.Second)
	switch {
	case request[0] == 2 && slices.Contains(b.knows, portmap.PCP):
		answer := slices.Clone(request)
		answer[1] |= 0x80
		clear(answer[8:24])
		four := b.address.As16()
		copy(answer[44:], four[:])
		return answer
	case request[0] == 0 && slices.Contains(b.knows, portmap.NATPMP) && request[1] == 0:
		four := b.address.As4()
		return append([]byte{0, 0x80, 0, 0, 0, 0, 0, 1}, four[:]...)
	case request[0] == 0 && slices.Contains(b.knows, portmap.NATPMP):
		answer := append([]byte{0, 0x81, 0, 0, 0, 0, 0, 1}, request[4:8]...)
		return binary.BigEndian.AppendUint32(answer, lifetime)
	}
	return nil
}

// pass lets time pass.
func (b *bench) pass(d time.Duration) {
	b.t.Helper()
	for end := b.now.Add(d); ; {
		next, ok := b.c.NextTimeout()
		if !ok || next.After(end) {
			b.now = end
			return
		}
		if !next.After(b.now) {
			b.t.Fatalf("at %v the next timeout is %v", b.now, next)
		}
		b.now = next
		b.c.HandleTimeout(b.now)
		b.settle()
	}
}

func (b *bench) mapped() (all []portmap.Mapped, unmapped int) {
	for _, e := range b.events {
		switch e := e.(type) {
		case portmap.Mapped:
			all = append(all, e)
		case portmap.Unmapped:
			unmapped++
		case portmap.Send, portmap.AskIGD, portmap.ReleaseIGD:
		}
	}
	return all, unmapped
}

func TestTheFirstProtocolThatIsAnsweredIsUsed(t *testing.T) {
	for _, knows := range [][]portmap.Protocol{
		{portmap.PCP, portmap.NATPMP, portmap.IGD}, {portmap.NATPMP, portmap.IGD}, {portmap.IGD},
	} {
		b := newBench(t, knows...)
		b.pass(time.Minute)
		if got, un := b.mapped(); len(got) != 1 || got[0] != (portmap.Mapped{Protocol: knows[0], External: outside}) || un > 0 {
			t.Errorf("of %v: %+v", knows, got)
		}
	}
}

func TestAMappingIsRenewedAtHalfOfItsLifetime(t *testing.T) {
	for _, p := range []portmap.Protocol{portmap.PCP, portmap.NATPMP, portmap.IGD} {
		b := newBench(t, p)
		b.pass(time.Minute)
		before := len(b.events)
		b.pass(portmap.Lifetime/2 - time.Minute - time.Second)
		if p == portmap.PCP && len(b.events) != before {
			t.Errorf("%s: renewed early", p)
		}
		b.pass(5 * portmap.Lifetime)
		if got, un := b.mapped(); len(got) != 1 || un > 0 || len(b.events) < before+9 {
			t.Errorf("%s: %+v, %d times unmapped, %d events", p, got, un, len(b.events)-before)
		}
	}
}

func TestAGatewayThatGoesSilentIsAskedToTheEndAndAgain(t *testing.T) {
	b := newBench(t, portmap.PCP)
	b.knows = nil
	b.pass(portmap.Lifetime - time.Second)
	if _, un := b.mapped(); un > 0 {
		t.Error("given up before its end")
	}
	b.pass(2 * time.Second)
	if _, un := b.mapped(); un != 1 {
		t.Errorf("%d times unmapped after its end", un)
	}
	b.knows = []portmap.Protocol{portmap.PCP}
	b.pass(2 * portmap.IdleMin)
	if got, _ := b.mapped(); len(got) != 2 {
		t.Errorf("back again, and %+v", got)
	}
}

func TestWhereThereIsNoGatewayThatMapsItIsAskedSeldom(t *testing.T) {
	b := newBench(t)
	b.pass(24 * time.Hour)
	if got, un := b.mapped(); len(got)+un > 0 {
		t.Errorf("%+v", got)
	}
	if most := (24 + 5) * 3 * portmap.Tries; b.sent > most {
		t.Errorf("%d datagrams in a day, want at most %d", b.sent, most)
	}
	idle := portmap.NewClient(7326, testNonce(t))
	idle.HandleGateway(b.now, netip.Addr{}, netip.Addr{})
	if _, ok := idle.NextTimeout(); ok {
		t.Error("without a gateway it waits for something")
	}
}

func TestAPortOfAPrivateAddressIsOfNoUse(t *testing.T) {
	for _, a := range []string{"10.1.2.3", "192.168.0.1", "100.64.0.1", "127.0.0.1", "169.254.0.1", "0.0.0.0"} {
		b := newBench(t)
		b.knows, b.address = []portmap.Protocol{portmap.PCP, portmap.NATPMP, portmap.IGD}, netip.MustParseAddr(a)
		b.pass(time.Hour)
		if got, _ := b.mapped(); len(got) > 0 {
			t.Errorf("%s: %+v", a, got)
		}
	}
}

func TestAnotherGatewayIsAskedAtOnce(t *testing.T) {
	b := newBench(t, portmap.PCP)
	b.c.HandleGateway(b.now, gateway, self)
	before := len(b.events)
	b.settle()
	if len(b.events) != before {
		t.Error("asked again though nothing changed")
	}
	b.address = netip.MustParseAddr("11.0.0.9")
	b.c.HandleGateway(b.now, netip.MustParseAddr("192.168.2.1"), netip.MustParseAddr("192.168.2.7"))
	b.settle()
	if got, un := b.mapped(); len(got) != 2 || got[1].External.Addr() != b.address || un != 1 {
		t.Errorf("%+v, %d times unmapped", got, un)
	}
	b.c.HandleGateway(b.now, netip.Addr{}, netip.Addr{})
	b.settle()
	if _, un := b.mapped(); un != 2 {
		t.Error("the gateway is gone, and the mapping is not")
	}
}

func TestAnswersToOthersAreDropped(t *testing.T) {
	b := newBench(t)
	for i, change := range []int{1, 24, 40} { // an opcode, a nonce, a port
		answer := unhex(t, pcpGranted)
		answer[change] ^= 0x02
		b.c.HandleDatagram(b.now, answer)
		b.settle()
		if got, _ := b.mapped(); len(got) > 0 {
			t.Errorf("%d: %+v", i, got)
		}
	}
	b.c.HandleIGD(b.now, 1, outside, time.Hour, nil)
	b.settle()
	if got, _ := b.mapped(); len(got) > 0 {
		t.Errorf("an answer by UPnP to no question: %+v", got)
	}
}

func TestReleaseGivesTheMappingBack(t *testing.T) {
	for _, p := range []portmap.Protocol{portmap.PCP, portmap.NATPMP, portmap.IGD} {
		b := newBench(t, p)
		b.pass(time.Minute)
		b.events = nil
		b.c.Release()
		b.c.Drain(func(e portmap.Event) { b.events = append(b.events, e) })
		if len(b.events) != 2 {
			t.Fatalf("%s: %+v", p, b.events)
		}
		switch e := b.events[0].(type) {
		case portmap.Send:
			at := map[portmap.Protocol]int{portmap.PCP: 4, portmap.NATPMP: 8}[p]
			if binary.BigEndian.Uint32(e.Datagram[at:]) != 0 {
				t.Errorf("%s: its lifetime is not 0: %x", p, e.Datagram)
			}
		case portmap.ReleaseIGD:
			if p != portmap.IGD || e.External != outside.Port() {
				t.Errorf("%s: %+v", p, e)
			}
		case portmap.AskIGD, portmap.Mapped, portmap.Unmapped:
			t.Errorf("%s: %+v", p, e)
		}
		if _, ok := b.c.NextTimeout(); ok {
			t.Errorf("%s: it goes on", p)
		}
	}
}
