package carrier

import (
	"context"
	"errors"

	"github.com/quic-go/quic-go"

	"re6st/protocols/fabric"
)

// datagrams is a link by QUIC.
type datagrams struct {
	conn  *quic.Conn
	hurry hurry // of the one reader
}

func newDatagrams(conn *quic.Conn) *datagrams {
	return &datagrams{conn, hurry{Context: conn.Context()}}
}

func (d *datagrams) send(batches []*batch) error {
	for _, b := range batches {
		for one, rest := []byte(nil), b.data; len(rest) > 0; {
			one, rest = cutFrame(rest)
			err := d.conn.SendDatagram(one)
			var tooLarge *quic.DatagramTooLargeError
			if err != nil && !errors.As(err, &tooLarge) { // that is lost, as where UDP's is longer than the path: it is probed for
				return err
			}
		}
	}
	return nil
}

// receive waits for a datagram, and takes those that have come with it.
func (d *datagrams) receive(into *batch) error {
	first, err := d.conn.ReceiveDatagram(d.conn.Context())
	for one := first; ; {
		if err != nil {
			return err
		}
		if _, err := fabric.TypeOf(one); err != nil {
			return errFrame
		}
		into.add(one)
		if !into.takes(len(first)) {
			return nil
		}
		d.hurry.waited = false
		if one, err = d.conn.ReceiveDatagram(&d.hurry); errors.Is(err, errNothing) {
			return nil
		}
	}
}

func (d *datagrams) close() { _ = d.conn.CloseWithError(0, "") }

// errNothing is the end of a hurry.
var errNothing = errors.New("nothing waits")

// hurry is a context that ends once somebody waits for it: what it is for does what it can at once.
type hurry struct {
	context.Context
	waited bool
}

var ended = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Done is as in context.Context, of one goroutine.
func (h *hurry) Done() <-chan struct{} {
	h.waited = true
	return ended
}

// Err is as in context.Context.
func (h *hurry) Err() error {
	if h.waited {
		return errNothing
	}
	return nil
}

// Value is none: nobody is to look for the end of the context behind it.
func (h *hurry) Value(any) any { return nil }
