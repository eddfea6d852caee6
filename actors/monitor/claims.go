package monitor

import (
	"net/netip"
	"time"

	"re6st/protocols/addr"
)

// Claims is the answer to /v1/claims.
type Claims struct {
	Header
	Claims []Claim `json:"claims"`
}

// Claim is what a node has signed about the routes that it announces.
type Claim struct {
	Node     addr.NodeID     `json:"node"`
	Prefix   addr.Bits       `json:"prefix"` // of its certificate
	RouterID string          `json:"router_id"`
	Sequence uint64          `json:"sequence"`
	Expires  time.Time       `json:"expires"`
	State    string          `json:"state"` // own, good, or excessive: it claims more than it may announce
	Prefixes []ClaimedPrefix `json:"prefixes"`
	Refused  []netip.Prefix  `json:"refused,omitempty"` // of them, what it may not announce
}

// ClaimedPrefix is a prefix that a node announces, with all that lies in it.
type ClaimedPrefix struct {
	Prefix    netip.Prefix `json:"prefix"`
	AnyRouter bool         `json:"any_router,omitempty"` // it imports it, from routers of any id
}

// Origins is how the node takes routes whose origin no claim proves.
type Origins struct {
	Policy string `json:"policy"` // off, prefer or require
	Claims int    `json:"claims"` // held, this node's own too
	Barred uint64 `json:"barred"` // announcements that were refused for their origin
}
