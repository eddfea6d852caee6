package tunnelplan

import "errors"

// Why Admit refuses a peer.
var (
	ErrFull    = errors.New("all places for accepted links are taken")
	ErrRevoked = errors.New("the peer's certificate is revoked")
	ErrSelf    = errors.New("the peer bears this node's own id")
	ErrCountry = errors.New("no link goes between the countries of the two")
	ErrShunned = errors.New("the link to the peer failed again and again")
)
