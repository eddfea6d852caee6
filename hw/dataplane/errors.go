package dataplane

import "errors"

// Errors that callers tell apart with errors.Is.
var (
	ErrConfig   = errors.New("bad data plane configuration")
	ErrNoLink   = errors.New("no such link")
	ErrNoKeys   = errors.New("the link has no keys yet")
	ErrNoRemote = errors.New("the link's remote address is not known")
	ErrNoRoute  = errors.New("no route to the node")
	ErrTooBig   = errors.New("longer than the interface takes")
	ErrTooLong  = errors.New("message too long for one control frame")
	ErrRemote   = errors.New("an endpoint inside the mesh cannot carry the mesh")
)
