// Package unit holds the systemd units that run re6st on a device
// (systemd.unit(5), systemd.exec(5)).
//
//	re6st-node.service       joins at boot, after `re6st join LINE -d /var/lib/re6st`
//	re6st-registry.service   serves a network from /var/lib/re6st-registry
//	re6st.sysusers.conf      the group re6st (sysusers.d(5)), which the node's unit needs
//
// Packages install them as they are, and run systemd-sysusers. The node's control
// sockets lie in /run/re6st; members of the group re6st may use the read-only one. The
// node runs with the capabilities for its TUN, routes and sockets and no more; the
// registry with none but a low port. Test: systemd-analyze must accept both, and their exposure score (lower
// is better) must not rise.
package unit

import "embed"

// Files are the units, by name.
//
//go:embed *.service *.conf
var Files embed.FS
