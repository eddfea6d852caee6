package flood

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/flynn/noise"

	"re6st/actors/registry"
	"re6st/hw/nodedir"
	"re6st/protocols/babel"
	"re6st/protocols/fabric"
)

// Of the rogue member.
const (
	prefixes      = 10_000
	updatesAtOnce = 40 // updates of one packet, about
	updateEvery   = 16 * time.Second
)

// routes links with the target as a member does, and announces prefixes for ever.
func (f *flooder) routes(ctx context.Context) error {
	k, err := f.rogue(ctx)
	if err != nil {
		return err
	}
	var work sync.WaitGroup
	defer work.Wait()
	defer k.conn.Close()
	work.Go(func() {
		for k.receive(func() bool { return true }) {
		}
	})
	for { // until the link is up
		k.mu.Lock()
		up := k.up
		k.link.HandleTimeout(time.Now())
		k.drain()
		k.mu.Unlock()
		if up {
			break
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("no link with %s", f.Target)
		}
	}
	f.Rate /= updatesAtOnce
	encoder := babel.Encoder{From: k.credentials.Identity.ID.LinkLocal(), Fabric: true, Max: babel.DefaultPacket}
	f.pace(ctx, func(i int) { f.announce(k, encoder, i) })
	return nil
}

// announce sends the next updates.
func (f *flooder) announce(k *caller, encoder babel.Encoder, round int) {
	self := k.credentials.Identity.ID
	var tlvs []babel.TLV
	for i := range updatesAtOnce {
		n := round*updatesAtOnce + i
		a := [16]byte{0xfd, 0xbe, 0xef, 4: byte(n % prefixes >> 8), 5: byte(n % prefixes)}
		tlvs = append(tlvs, babel.Update{
			Prefix: netip.PrefixFrom(netip.AddrFrom16(a), 48), RouterID: babel.RouterID(self), Seqno: uint16(n / prefixes),
			Metric: uint16(n / prefixes % 7 * 200), Interval: updateEvery, Egress: self,
		})
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.link.HandleTimeout(time.Now())
	k.drain()
	for _, packet := range encoder.Encode(tlvs) {
		k.control(fabric.ControlBabel, packet)
	}
	f.sent.Add(updatesAtOnce)
}

// rogue is a member with its own certificate.
func (f *flooder) rogue(context.Context) (*caller, error) {
	dir, err := nodedir.Open(f.Dir)
	if err != nil {
		return nil, err
	}
	m, err := registry.LoadMember(dir, time.Now())
	if err != nil {
		return nil, err
	}
	c := &fabric.Credentials{
		Authority: m.Authority, Certificate: m.Certificate, Identity: m.Identity, Binding: m.Binding,
		Static: noise.DHKey{Private: m.StaticPrivate[:], Public: m.StaticPublic[:]}, Suites: []fabric.Suite{fabric.ChaCha20Poly1305},
	}
	_, _ = rand.Read(c.BootID[:])
	return f.call(netip.IPv4Unspecified(), c)
}
