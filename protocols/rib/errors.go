package rib

import "errors"

// Errors of Table.Offer, told apart with errors.Is.
var (
	ErrRoute = errors.New("not a route")
	ErrFull  = errors.New("routing table full")
)
