package lab

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"

	"re6st/actors/monitor/web"
)

// addressFlag is --http.
type addressFlag struct{ *netip.AddrPort }

// Set reads an address of the loopback.
func (f addressFlag) Set(s string) error {
	at, err := netip.ParseAddrPort(s)
	if err != nil {
		return err
	}
	if err := web.CheckAddress(at); err != nil {
		return err
	}
	*f.AddrPort = at
	return nil
}

// Type is for the help text.
func (addressFlag) Type() string { return "ADDRESS:PORT" }

func (f addressFlag) String() string {
	if f.AddrPort == nil || !f.IsValid() {
		return ""
	}
	return f.AddrPort.String()
}

// openPage serves the live page until the lab ends, and says where.
func (l *Lab) openPage() error {
	if !l.options.HTTP.IsValid() {
		return nil
	}
	listener, err := net.Listen("tcp", l.options.HTTP.String())
	if err != nil {
		return fmt.Errorf("lab: --http: %w", err)
	}
	w := newWatch(l)
	l.background.Go(func() {
		log := slog.New(slog.NewTextHandler(l.options.Say, nil))
		if err := web.Serve(l.ctx, listener, w.site(), log); err != nil {
			l.say("lab: the page is no longer served: %v", err)
		}
	})
	l.background.Go(func() {
		<-l.ctx.Done()
		listener.Close()
	})
	l.say("lab %s: see it live at http://%s/", l.ID(), listener.Addr())
	return nil
}

// site is the page and what it shows.
func (w *watch) site() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /", web.Page(web.Lab))
	mux.HandleFunc("GET /v1/lab", func(out http.ResponseWriter, r *http.Request) {
		out.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(out).Encode(w.now(r.Context())) // who went away needs no answer
	})
	return web.Guard(mux)
}
