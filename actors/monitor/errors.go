package monitor

import "errors"

// What a Client's caller tells apart.
var (
	ErrNotRunning = errors.New("the node is not running")
	ErrCut        = errors.New("the node ended before it had answered")
	ErrDenied     = errors.New("permission denied")
	ErrInUse      = errors.New("another process serves this folder")
	ErrRequest    = errors.New("bad request")
)
