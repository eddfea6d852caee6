package monitor

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"re6st/hw/clock"
)

// server answers the calls on one socket.
type server struct {
	cfg      Config
	clock    clock.Clock
	writable bool
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	s.reads(mux)
	mux.HandleFunc("GET /v1/events", s.events)
	mux.HandleFunc("POST /v1/ping", s.ping)
	mux.HandleFunc("POST /v1/trace", s.trace)
	mux.HandleFunc("POST /v1/explain", s.explain)
	mux.HandleFunc("GET /v1/debug", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, s.debug()) })
	mux.HandleFunc("POST /v1/debug/fault", s.fault)
	mux.HandleFunc("POST /v1/debug/clear", s.clear)
	mux.HandleFunc("POST /v1/debug/block", s.block)
	mux.HandleFunc("POST /v1/debug/clock", s.jump)
	mux.HandleFunc("POST /v1/reload", s.reload)
	mux.HandleFunc("POST /v1/renew", s.renew)
	mux.HandleFunc("/", noSuchCall)
	return mux
}

// reads adds the calls that answer one object and change nothing.
func (s *server) reads(mux *http.ServeMux) {
	get := func(path string, answer func() any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, answer()) })
	}
	get("/v1/status", func() any { return s.status() })
	get("/v1/peers", func() any { return Peers{s.header(), list(s.cfg.Sources.Peers())} })
	get("/v1/tunnels", func() any { return Tunnels{s.header(), list(s.cfg.Sources.Tunnels())} })
	get("/v1/routes", func() any { return Routes{s.header(), list(s.cfg.Sources.Routes())} })
	get("/v1/claims", func() any { return Claims{s.header(), list(s.cfg.Sources.Claims())} })
	get("/v1/actors", func() any { return s.actors() })
	get("/v1/version", func() any { return VersionInfo{s.header(), s.cfg.Build} })
}

func noSuchCall(w http.ResponseWriter, r *http.Request) {
	refuse(w, http.StatusNotFound, fmt.Sprintf("no such call: %s %s", r.Method, r.URL.Path))
}

func (s *server) header() Header { return Header{Schema, s.clock.Now().UTC()} }

func (s *server) status() Status {
	st := s.cfg.Sources.Status()
	st.Header, st.PID, st.Build = s.header(), cmp.Or(st.PID, os.Getpid()), s.cfg.Build
	st.Addresses = list(st.Addresses)
	return st
}

func (s *server) actors() Actors {
	a := Actors{s.header(), []Actor{}}
	for _, r := range s.cfg.System.Actors() {
		a.Actors = append(a.Actors, actorOf(r))
	}
	return a
}

// list makes an empty list [] in JSON, where nil would be null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// reply answers with one JSON object. That the caller has gone is its own affair.
func reply(w http.ResponseWriter, code int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(answer)
}

func refuse(w http.ResponseWriter, code int, why string) {
	reply(w, code, Error{Schema, why})
}

// body reads the JSON of a request, which may hold nothing unknown.
func body(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		refuse(w, http.StatusBadRequest, "the body of the request: "+err.Error())
		return false
	}
	return true
}

// reload answers what became of each key that changed.
func (s *server) reload(w http.ResponseWriter, _ *http.Request) {
	switch {
	case !s.writable:
		refuse(w, http.StatusForbidden, "this socket is read-only; reloads are taken on "+SocketName)
		return
	case s.cfg.Reload == nil:
		refuse(w, http.StatusNotImplemented, "this node has no configuration to read again")
		return
	}
	changes, err := s.cfg.Reload()
	if err != nil {
		refuse(w, http.StatusConflict, err.Error())
		return
	}
	reply(w, http.StatusOK, Reloaded{s.header(), list(changes)})
}

// renew answers with the new certificate, once there is one.
func (s *server) renew(w http.ResponseWriter, r *http.Request) {
	var q RenewRequest
	switch {
	case !s.writable:
		refuse(w, http.StatusForbidden, "this socket is read-only; renewals are taken on "+SocketName)
		return
	case s.cfg.Renew == nil:
		refuse(w, http.StatusNotFound, "this node has no certificate to renew")
		return
	case !body(w, r, &q):
		return
	}
	c, err := s.cfg.Renew(r.Context(), q.NewKey)
	if err != nil {
		refuse(w, http.StatusBadGateway, err.Error())
		return
	}
	reply(w, http.StatusOK, Renewed{s.header(), c})
}
