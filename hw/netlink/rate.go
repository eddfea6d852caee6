package netlink

import (
	"errors"
	"fmt"

	vnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Of the token bucket that SetRate makes.
const (
	rateBurst   = 16 << 10 // bytes that go out at once: ten full frames
	rateLatency = 50       // milliseconds that a packet may wait before the queue drops
)

// SetRate limits what a link sends to so many bits a second with a token bucket
// (tbf); 0 takes the limit away.
func (c *Conn) SetRate(name string, bits uint64) error {
	return c.change(name, fmt.Sprintf("rate %d bit/s", bits), func(l vnl.Link) error {
		attrs := vnl.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: vnl.MakeHandle(1, 0), Parent: vnl.HANDLE_ROOT}
		bytes := bits / 8
		if bytes == 0 {
			err := c.handle.QdiscDel(&vnl.Tbf{QdiscAttrs: attrs})
			if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) { // none was set
				return nil
			}
			return err
		}
		limit := bytes*rateLatency/1000 + rateBurst
		return c.handle.QdiscReplace(&vnl.Tbf{
			QdiscAttrs: attrs, Rate: bytes,
			Limit:  uint32(min(limit, 1<<31)),
			Buffer: vnl.Xmittime(bytes, rateBurst),
		})
	})
}
