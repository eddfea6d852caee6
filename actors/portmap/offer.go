package portmap

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"re6st/protocols/netcheck"
	"re6st/protocols/portmap"
)

const (
	// offerTime is how long a gateway may take to say which protocols it speaks, but for UPnP,
	// and offerEvery how far apart the questions are.
	offerTime  = 1200 * time.Millisecond
	offerEvery = 250 * time.Millisecond
)

// Offers asks a gateway which protocols it speaks, and has it map nothing.
func Offers(ctx context.Context, gateway netip.Addr) netcheck.Mapping {
	m := netcheck.Mapping{Gateway: gateway}
	client, err := towards(gateway)
	if err != nil {
		return m
	}
	var pcp, pmp, igd *netcheck.Offer
	var both sync.WaitGroup
	both.Go(func() { igd = offerIGD(ctx, gateway, client) })
	both.Go(func() { pcp, pmp = offersByUDP(ctx, gateway, client) })
	both.Wait()
	for _, o := range []*netcheck.Offer{pcp, pmp, igd} {
		if o != nil {
			m.Offers = append(m.Offers, *o)
		}
	}
	return m
}

// offersByUDP asks by both protocols of one port; nil: no answer by that.
func offersByUDP(ctx context.Context, gateway, client netip.Addr) (pcp, pmp *netcheck.Offer) {
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(gateway, portmap.Port)))
	if err != nil {
		return nil, nil
	}
	defer conn.Close()
	end, buffer := time.Now().Add(offerTime), make([]byte, portmap.MaxMessage+1)
	for time.Now().Before(end) && ctx.Err() == nil && (pcp == nil || pmp == nil) {
		if pcp == nil {
			_, _ = conn.Write(portmap.PCPAnnounce(client)) // the next question may go
		}
		if pmp == nil {
			_, _ = conn.Write(portmap.NATPMPAddress())
		}
		_ = conn.SetReadDeadline(time.Now().Add(offerEvery)) // fails for a closed one only
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				break
			}
			if o := offerPCP(buffer[:n]); o != nil {
				pcp = o
			}
			if o := offerNATPMP(buffer[:n]); o != nil {
				pmp = o
			}
		}
	}
	return pcp, pmp
}

func offerPCP(answer []byte) *netcheck.Offer {
	result, err := portmap.ParsePCPAnnounced(answer)
	if err != nil {
		return nil
	}
	o := &netcheck.Offer{Protocol: portmap.PCP.String()}
	if result != portmap.Success {
		o.Refusal = fmt.Sprint("result ", result)
	}
	return o
}

func offerNATPMP(answer []byte) *netcheck.Offer {
	a, err := portmap.ParseNATPMPAnswer(answer)
	if err != nil || a.Result == portmap.UnsupportedVersion {
		return nil // what it makes of PCP
	}
	o := &netcheck.Offer{Protocol: portmap.NATPMP.String(), External: a.Address}
	if a.Result != portmap.Success {
		o.Refusal = fmt.Sprint("result ", a.Result)
	}
	return o
}

func offerIGD(ctx context.Context, gateway, client netip.Addr) *netcheck.Offer {
	ctx, cancel := context.WithTimeout(ctx, searchTime+requestTime)
	defer cancel()
	c, err := find(ctx, gateway, client)
	if err != nil {
		return nil
	}
	o := &netcheck.Offer{Protocol: portmap.IGD.String()}
	text, err := c.GetExternalIPAddressCtx(ctx)
	if err == nil {
		o.External, err = netip.ParseAddr(text)
	}
	if err != nil {
		o.Refusal = err.Error()
	}
	return o
}
