// Package ping sends echo requests of ICMPv6 (RFC 4443 section 4) or ICMP (RFC 792) from one
// address to another through the kernel, as ping(8) does, and times the replies.
//
//	Run ── request 1, 2 ... each Interval ──> kernel ──> destination
//	 |                                                       |
//	 '── Reply{Sequence, RTT}, or {Lost} after Timeout <─────'
//
// It takes a raw socket where it may, else the kernel's unprivileged ping socket,
// which net.ipv4.ping_group_range must allow to the caller's group.
//
// What the caller has to do: hand in a context, whose end ends the run early, and
// a function that takes each Reply without blocking for long.
package ping
