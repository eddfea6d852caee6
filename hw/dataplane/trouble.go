package dataplane

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// What a reader does about errors. Most concern one packet, or a moment without
// memory; the node must not end for them.
const (
	// readPatience is how long a device may give nothing but errors.
	readPatience = 5 * time.Second
	// readRetry is between two reads of a device that fails.
	readRetry = 10 * time.Millisecond
)

// trouble is a row of reads that failed.
type trouble struct{ since time.Time }

// endure waits a moment and has the device read again, or tells why that is in vain.
func (t *trouble) endure(err error) error {
	now := time.Now()
	if t.since.IsZero() {
		t.since = now
	}
	switch {
	case errors.Is(err, os.ErrClosed), errors.Is(err, net.ErrClosed):
		return fmt.Errorf("it was closed: %w", err)
	case errors.Is(err, unix.EBADFD), errors.Is(err, unix.EFAULT): // what Linux says of a deleted TUN
		return fmt.Errorf("it was deleted by somebody else: %w", err)
	case now.Sub(t.since) >= readPatience:
		return fmt.Errorf("nothing but errors for %v: %w", readPatience, err)
	}
	time.Sleep(readRetry)
	return nil
}
