package simnet

import "errors"

// Errors that callers tell apart with errors.Is.
var (
	ErrConfig   = errors.New("not a network that can be simulated")
	ErrAction   = errors.New("cannot be done")
	ErrLoop     = errors.New("forwarding loop")
	ErrFeasible = errors.New("unfeasible next hop")
	ErrDriver   = errors.New("a machine refused its driver")
	ErrScenario = errors.New("bad scenario")
)
