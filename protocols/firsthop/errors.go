package firsthop

import "errors"

// ErrGateway is a router that cannot be one.
var ErrGateway = errors.New("bad gateway")
