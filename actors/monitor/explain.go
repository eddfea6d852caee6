package monitor

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"re6st/protocols/addr"
)

// ExplainRequest is the body of POST /v1/explain.
type ExplainRequest struct {
	Dest string `json:"dest"` // a prefix, an address, a node's prefix such as 5/16, or a node id
}

// Explanation is the answer: the destination that was asked for or else the longest ones
// around it, the way of packets last; then the ways to the egresses, which relays follow.
type Explanation struct {
	Header
	Dest         netip.Prefix  `json:"dest"`
	Destinations []Destination `json:"destinations"`
}

// Destination is why the route to a prefix is the one it is.
type Destination struct {
	Prefix     netip.Prefix  `json:"prefix"`
	Source     netip.Prefix  `json:"source,omitzero"`
	Topology   uint8         `json:"topology"`
	Locator    bool          `json:"locator"`       // of an egress of those before
	Route      *Route        `json:"route"`         // null: none
	Lost       time.Time     `json:"lost,omitzero"` // unreachable until then
	Candidates []Candidate   `json:"candidates"`    // by neighbor
	Changes    []RouteChange `json:"changes"`       // the last ones, the oldest first
}

// Candidate is what a neighbor announces, in the words of RFC 8966.
type Candidate struct {
	Neighbor  string      `json:"neighbor"` // a node id, or an address and interface
	Egress    addr.NodeID `json:"egress,omitzero"`
	RouterID  string      `json:"router_id"`
	Seqno     uint16      `json:"seqno"`
	Refmetric uint16      `json:"refmetric"`
	Cost      uint16      `json:"cost"`   // of the link; 65535: it is dead
	Metric    uint16      `json:"metric"` // refmetric and cost
	Smoothed  uint16      `json:"smoothed_metric"`
	Distance  *Distance   `json:"feasibility_distance"` // null: any is feasible
	Feasible  bool        `json:"feasible"`
	Requested bool        `json:"requested"` // a newer seqno was asked for
	Verdict   string      `json:"verdict"`   // selected, kept, own, dead, unfeasible, waiting, worse, barred or unclaimed
	Expires   time.Time   `json:"expires"`
}

// Distance is what is feasible: a newer seqno, or the same and a smaller refmetric.
type Distance struct {
	Seqno  uint16 `json:"seqno"`
	Metric uint16 `json:"metric"`
}

// RouteChange is how the selected route became another.
type RouteChange struct {
	Time   time.Time `json:"time"`
	From   *RouteWay `json:"from"` // null: none
	To     *RouteWay `json:"to"`
	Reason string    `json:"reason"`
}

// RouteWay is one end of a RouteChange.
type RouteWay struct {
	Neighbor string      `json:"neighbor"` // or "self"
	Egress   addr.NodeID `json:"egress,omitzero"`
	Metric   uint16      `json:"metric"`
}

// explain answers why a route is the one it is.
func (s *server) explain(w http.ResponseWriter, r *http.Request) {
	var q ExplainRequest
	if !body(w, r, &q) {
		return
	}
	dest, err := s.explained(q.Dest)
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, err.Error())
		return
	case s.cfg.Explain == nil:
		refuse(w, http.StatusNotImplemented, "this node cannot explain its routes")
		return
	}
	all, err := s.cfg.Explain(r.Context(), dest)
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	for i := range all {
		all[i].Candidates, all[i].Changes = list(all[i].Candidates), list(all[i].Changes)
	}
	reply(w, http.StatusOK, Explanation{s.header(), dest, list(all)})
}

// explained is the prefix that is asked for.
func (s *server) explained(dest string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(dest); err == nil {
		if p != p.Masked() || p.Addr().Is4In6() {
			return p, fmt.Errorf("%s has bits behind its length; the prefix is %s", dest, p.Masked())
		}
		return p, nil
	}
	if a, err := netip.ParseAddr(dest); err == nil && a.Is4() {
		return netip.PrefixFrom(a, 32), nil
	}
	a, err := s.resolve(s.cfg.Sources.Status(), dest)
	if err != nil && strings.Contains(dest, "/") {
		err = fmt.Errorf("%q is neither a prefix such as 2001:db8::/64 nor one of a node such as 5/16", dest)
	}
	return netip.PrefixFrom(a.WithZone(""), 128), err
}
