package web

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// ErrNotLoopback is wrapped by CheckAddress.
var ErrNotLoopback = errors.New("not an address of the loopback")

// CheckAddress says whether HTTP may be served at an address: at the loopback's
// only, as it asks nobody for a password.
func CheckAddress(at netip.AddrPort) error {
	if !at.Addr().IsLoopback() {
		return fmt.Errorf("%w: %s; what is shown has no password, so it is served to this machine only: write 127.0.0.1:PORT or [::1]:PORT", ErrNotLoopback, at)
	}
	return nil
}

// policy lets a page load from here only, and nobody put it into a frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Guard takes only what a reader on this machine sends.
func Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "this only shows: GET and HEAD", http.StatusMethodNotAllowed)
		case !isLoopbackHost(r.Host):
			http.Error(w, fmt.Sprintf("host %q is not this machine's loopback: write localhost, 127.0.0.1 or [::1]", r.Host), http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// isLoopbackHost takes a Host header (RFC 9110 section 7.2) with any port: that of
// a tunnel (ssh -L) is another one.
func isLoopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else if inner, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
