package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"re6st/protocols/cert"
	"re6st/protocols/netcheck"
	"re6st/protocols/registry"
)

// Reach calls a registry as a stranger, and tells how it answers, by which CA, and what time
// it has there. want is the CA's fingerprint, where it is known; zero: whichever it shows. dial
// may be nil.
func Reach(ctx context.Context, at registry.HostPort, want [32]byte, dial Dial) netcheck.Contact {
	c := netcheck.Contact{At: at.String()}
	began := time.Now()
	var connected time.Time
	config := &tls.Config{VerifyConnection: func(state tls.ConnectionState) error {
		for _, der := range chain(state) {
			a, err := cert.ParseAuthority(der)
			if err == nil && a.VerifyRegistryAnytime(state.PeerCertificates[0].Raw) == nil && (want == [32]byte{} || a.Fingerprint == want) {
				c.Fingerprint = a.Fingerprint
				return nil
			}
		}
		return ErrFingerprint
	}}
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	timed := func(ctx context.Context, network, address string) (net.Conn, error) {
		began = time.Now() // the name is known by then, or was an address
		conn, err := dial(ctx, network, address)
		connected = time.Now()
		return conn, err
	}
	client := (&Client{}).transport(timed, config)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+at.String()+registry.PathParams, nil)
	if err == nil {
		var answer *http.Response
		if answer, err = client.Do(request); err == nil {
			defer answer.Body.Close()
			c.Connect, c.Answer = connected.Sub(began).Microseconds(), time.Since(began).Microseconds()
			c.Clock = ahead(answer.Header.Get("Date"), connected, time.Now())
			return c
		}
	}
	c.Trouble, c.Error = troubleOf(err), err.Error()
	return c
}

// ahead is by how many ms the clock that wrote a Date, which has whole seconds, is ahead of
// this one, which asked and got it at these times; nil: that is no date.
func ahead(date string, asked, got time.Time) *int64 {
	at, err := http.ParseTime(date)
	if err != nil {
		return nil
	}
	there := at.Add(500 * time.Millisecond)
	ms := there.Sub(asked.Add(got.Sub(asked) / 2).Round(0)).Milliseconds()
	return &ms
}

func troubleOf(err error) netcheck.Trouble {
	var timeout net.Error
	switch {
	case errors.Is(err, ErrFingerprint):
		return netcheck.Foreign
	case errors.Is(err, unix.ECONNREFUSED):
		return netcheck.Refused
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, new(tls.RecordHeaderError)):
		return netcheck.NotSecure
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return netcheck.Silent
	}
	return netcheck.Other
}
