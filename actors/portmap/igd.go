package portmap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/huin/goupnp"
	"github.com/huin/goupnp/dcps/internetgateway2"
	"github.com/huin/goupnp/httpu"
	"github.com/huin/goupnp/soap"
	"github.com/huin/goupnp/ssdp"

	"re6st/protocols/portmap"
)

const (
	searchTime  = 2100 * time.Millisecond // of SSDP: its wait is in whole seconds
	searchSends = 2
	// askTime bounds the rest of a question, and requestTime one request of it.
	askTime     = 10 * time.Second
	requestTime = 3 * time.Second
	// maxDocument is how many bytes of an answer are read.
	maxDocument = 128 << 10
	// otherPorts is how many ports are tried where that of the node is another's.
	otherPorts = 4

	description = "re6st"
	udp         = "UDP"
)

// The errors of UPnP that another question may mend (WANIPConnection:1, 2.4.16.4).
const (
	conflictInMappingEntry  = 718
	onlyPermanentLeases     = 725
	internetGatewayDeviceV1 = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
)

var errNoIGD = fmt.Errorf("%w: the gateway does not speak UPnP IGD", portmap.ErrRefused)

// connection is what the services of a gateway have in common, whichever it has.
type connection interface {
	AddPortMappingCtx(ctx context.Context, remote string, external uint16, protocol string, internal uint16, client string,
		enabled bool, description string, lease uint32) error
	DeletePortMappingCtx(ctx context.Context, remote string, external uint16, protocol string) error
	GetExternalIPAddressCtx(ctx context.Context) (string, error)
	GetServiceClient() *goupnp.ServiceClient
}

// askIGD has the gateway map a port by UPnP.
func askIGD(ctx context.Context, q portmap.AskIGD) answeredIGD {
	ctx, cancel := context.WithTimeout(ctx, searchTime+askTime)
	defer cancel()
	answer := answeredIGD{number: q.Number}
	if answer.by, answer.err = find(ctx, q.Gateway, q.Client); answer.err == nil {
		answer.external, answer.lifetime, answer.err = ask(ctx, answer.by, q)
	}
	return answer
}

// ask has a service map a port. A lifetime of 0 is for ever.
func ask(ctx context.Context, c connection, q portmap.AskIGD) (at netip.AddrPort, lifetime time.Duration, err error) {
	external := q.External
	lifetime = q.Lifetime
	for range otherPorts {
		err = c.AddPortMappingCtx(ctx, "", external, udp, q.Internal, q.Client.String(), true, description, uint32(lifetime/time.Second))
		switch upnpError(err) {
		case conflictInMappingEntry:
			external++
			continue
		case onlyPermanentLeases:
			lifetime = 0
			continue
		}
		break
	}
	if err != nil {
		return netip.AddrPort{}, 0, fmt.Errorf("portmap: UPnP at %s: %w", q.Gateway, err)
	}
	text, err := c.GetExternalIPAddressCtx(ctx)
	if err != nil {
		return netip.AddrPort{}, 0, fmt.Errorf("portmap: UPnP at %s: address outside: %w", q.Gateway, err)
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.AddrPort{}, 0, fmt.Errorf("portmap: UPnP at %s: %w", q.Gateway, err)
	}
	return netip.AddrPortFrom(a, external), lifetime, nil
}

func upnpError(err error) int {
	var fault *soap.SOAPFaultError
	if errors.As(err, &fault) {
		return fault.Detail.UPnPError.Errorcode
	}
	return 0
}

// find searches for the service of the gateway, from this node's address towards it.
func find(ctx context.Context, gateway, client netip.Addr) (connection, error) {
	bound()
	searcher, err := httpu.NewHTTPUClientAddr(client.String())
	if err != nil {
		return nil, fmt.Errorf("portmap: UPnP: %w", err)
	}
	defer searcher.Close()
	search, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	answers, err := ssdp.RawSearch(search, searcher, internetGatewayDeviceV1, searchSends)
	if err != nil {
		return nil, fmt.Errorf("portmap: UPnP: %w", err)
	}
	for _, answer := range answers {
		location, err := answer.Location()
		if err != nil || !isAt(location, gateway) {
			continue
		}
		device, err := goupnp.DeviceByURLCtx(ctx, location)
		if err != nil {
			return nil, fmt.Errorf("portmap: UPnP: %w", err)
		}
		for _, c := range connections(device, location) {
			if service := c.GetServiceClient().SOAPClient; isAt(&service.EndpointURL, gateway) {
				service.HTTPClient = bounded
				return c, nil
			}
		}
	}
	return nil, errNoIGD
}

// connections are the services of a device that map ports.
func connections(device *goupnp.RootDevice, location *url.URL) (all []connection) {
	one, _ := internetgateway2.NewWANIPConnection1ClientsFromRootDevice(device, location)
	two, _ := internetgateway2.NewWANIPConnection2ClientsFromRootDevice(device, location)
	ppp, _ := internetgateway2.NewWANPPPConnection1ClientsFromRootDevice(device, location)
	for _, c := range one {
		all = append(all, c)
	}
	for _, c := range two {
		all = append(all, c)
	}
	for _, c := range ppp {
		all = append(all, c)
	}
	return all
}

// isAt tells whether a URL is of the gateway itself: whoever answers a search must not
// send this node elsewhere.
func isAt(u *url.URL, gateway netip.Addr) bool {
	a, err := netip.ParseAddr(u.Hostname())
	return err == nil && a == gateway && u.Scheme == "http"
}

// bounded follows no redirection, and reads no more than it must.
var bounded = http.Client{
	Timeout:       requestTime,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     limited{&http.Transport{DisableKeepAlives: true}},
}

// bound makes goupnp read descriptions by that client too.
var bound = sync.OnceFunc(func() { goupnp.HTTPClientDefault = &bounded })

// limited cuts long answers off.
type limited struct{ http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Body = cut{io.LimitReader(response.Body, maxDocument), response.Body}
	}
	return response, err
}

type cut struct {
	io.Reader
	io.Closer
}
