package trace

import "errors"

// Errors that callers tell apart with errors.Is.
var (
	ErrProbe = errors.New("trace: bad probe")
	ErrReply = errors.New("trace: bad reply")
)
