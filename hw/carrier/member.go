package carrier

import (
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
)

// Proven says that a node has proven itself by a path: what came by it was sealed with the keys
// of a link to that node. A connection that others began is closed ProvenWithin after its
// beginning if nobody has; and where a node has proven itself by more than MaxMemberConnections
// of them, the one that was of use the longest ago is closed, however many addresses it has.
func (c *Conn) Proven(path fabric.Path, node addr.NodeID) {
	if path.Carrier == fabric.UDP {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.open[key{path.Carrier, path.Remote, path.Local.Addr}]
	if n == nil || !n.accepted || n.member == node {
		return
	}
	n.member = node
	count, oldest := 0, n
	for other := range c.all {
		if other.accepted && other.member == node && other.ctx.Err() == nil {
			count++
			if other != n && (oldest == n || other.lastOfUse().Before(oldest.lastOfUse())) {
				oldest = other
			}
		}
	}
	if count > MaxMemberConnections {
		oldest.cancel()
	}
}
