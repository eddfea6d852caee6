package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"re6st/actors/system"
	"re6st/hw/ping"
	"re6st/protocols/addr"
)

// Limits of a ping.
const (
	MaxPings        = 10000
	DefaultPings    = 4
	MinPingInterval = 10 * time.Millisecond
	MaxPingTimeout  = time.Minute
)

// lines writes JSON lines, each at once.
type lines struct {
	w    *json.Encoder
	sent *http.ResponseController
}

func newLines(w http.ResponseWriter) lines {
	w.Header().Set("Content-Type", "application/jsonlines")
	w.WriteHeader(http.StatusOK)
	l := lines{json.NewEncoder(w), http.NewResponseController(w)}
	_ = l.sent.Flush() // so that the caller knows that it is heard; write finds out if it has gone
	return l
}

func (l lines) write(v any) error { return errors.Join(l.w.Encode(v), l.sent.Flush()) }

// events writes the last events and, where follow is asked for, those to come
// until the caller goes.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	follow := r.URL.Query().Get("follow")
	if follow != "" && follow != "0" && follow != "1" {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("follow %q; it is 0 or 1", follow))
		return
	}
	sub := s.cfg.System.Subscribe(streamBuffer) // before Events, so that none is lost between
	defer sub.Close()
	out := newLines(w)
	var last uint64
	for _, e := range s.cfg.System.Events() {
		if out.write(eventOf(e, 0)) != nil {
			return
		}
		last = e.Seq
	}
	for follow == "1" {
		select {
		case <-r.Context().Done():
			return
		case e := <-sub.C:
			if e.Seq <= last {
				continue
			}
			missed := uint64(0)
			if last > 0 {
				missed = e.Seq - last - 1
			}
			last = e.Seq
			if out.write(eventOf(e, missed)) != nil {
				return
			}
		}
	}
}

// ping sends echoes from the node's own address, as the kernel routes them.
func (s *server) ping(w http.ResponseWriter, r *http.Request) {
	var q PingRequest
	if !body(w, r, &q) {
		return
	}
	cfg, err := s.pingConfig(q)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	out := newLines(w)
	sum, err := ping.Run(r.Context(), cfg, func(e ping.Reply) {
		line := PingReply{Address: cfg.Destination, Sequence: e.Sequence, RTT: e.RTT.Microseconds(), Lost: e.Lost}
		if e.Err != nil {
			line.Error = e.Err.Error()
		}
		_ = out.write(PingLine{Version: Schema, Reply: &line}) // where the caller has gone, the context ends
	})
	end := PingLine{Version: Schema, Summary: &PingSummary{
		cfg.Destination, cfg.Source, sum.Sent, sum.Received, sum.Min.Microseconds(), sum.Avg.Microseconds(), sum.Max.Microseconds(),
	}}
	if err != nil {
		end = PingLine{Version: Schema, Error: err.Error()}
	}
	_ = out.write(end)
}

func (s *server) pingConfig(q PingRequest) (ping.Config, error) {
	c := ping.Config{
		Count: q.Count, Size: q.Size,
		Interval: time.Duration(q.Interval) * time.Millisecond, Timeout: time.Duration(q.Timeout) * time.Millisecond,
	}
	if c.Count == 0 {
		c.Count = DefaultPings
	}
	if q.Interval == 0 {
		c.Interval = time.Second
	}
	if q.Timeout == 0 {
		c.Timeout = time.Second
	}
	switch {
	case c.Count < 0 || c.Count > MaxPings:
		return c, fmt.Errorf("count %d, 1 to %d", q.Count, MaxPings)
	case q.Interval < 0 || c.Interval < MinPingInterval || q.Interval > MaxPingTimeout.Milliseconds():
		return c, fmt.Errorf("interval %d ms, %v to %v", q.Interval, MinPingInterval, MaxPingTimeout)
	case q.Timeout < 0 || q.Timeout > MaxPingTimeout.Milliseconds():
		return c, fmt.Errorf("timeout %d ms, at most %v", q.Timeout, MaxPingTimeout)
	case c.Size < 0 || c.Size > ping.MaxSize:
		return c, fmt.Errorf("size %d, 0 to %d", c.Size, ping.MaxSize)
	}
	st := s.cfg.Sources.Status()
	var err error
	if c.Destination, err = s.resolve(st, q.Dest); err != nil {
		return c, err
	}
	c.Source, err = st.sourceFor(c.Destination)
	return c, err
}

// sourceFor is the node's own address for packets to another: of the class general, or of
// IPv4. Not valid: the kernel's choice.
func (s Status) sourceFor(to netip.Addr) (netip.Addr, error) {
	switch {
	case to.Is4() && s.IPv4 == nil:
		return netip.Addr{}, fmt.Errorf("%s is of IPv4, which this network has not", to)
	case to.Is4() && !s.IPv4.Address.IsValid():
		return netip.Addr{}, fmt.Errorf("%s is of IPv4, of which this node has no share", to)
	case to.Is4():
		return s.IPv4.Address, nil
	case len(s.Addresses) > 0:
		return s.Addresses[0].Address, nil
	}
	return netip.Addr{}, nil
}

// resolve finds the address of a node that is named by it, by its prefix or by its id.
func (s *server) resolve(st Status, dest string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(dest); err == nil {
		if a.Is4In6() {
			return a, fmt.Errorf("%s is an IPv4 address in disguise; write %s", dest, a.Unmap())
		}
		return a, nil
	}
	if prefix, err := addr.ParseCN(dest); err == nil {
		return addr.Address(st.Network, prefix)
	}
	id, err := addr.ParseNodeID(dest)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q is neither an address nor a prefix such as 5/16 nor a node id of 16 hexadecimal digits", dest)
	}
	if id == st.Node {
		return addr.Address(st.Network, st.Prefix)
	}
	for _, p := range s.cfg.Sources.Peers() {
		if p.Node == id {
			return addr.Address(st.Network, p.Prefix)
		}
	}
	return netip.Addr{}, fmt.Errorf("node %s is not known here; its prefix or its address will do", id)
}

var _ System = (*system.System)(nil)
