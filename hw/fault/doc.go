// Package fault has system calls of a running node fail on purpose: a table that says
// which call fails, with what error, how often or for how long. The calls ask it just
// before they would ask the kernel, so what follows is what a failure of the kernel
// would cause.
//
//	re6st debug fault sock.send --error ENOBUFS --count 20
//	        |
//	        v                 Check("sock.send")
//	      Table <---------------------------------- hw/sock, hw/tun, hw/netlink, hw/nodedir
//	        '-- nil: off; Check is one comparison     an error in place of the call
//
// A nil *Table is the usual one: it fails nothing. A node has another where its
// configuration says debug_faults = true, and only then.
//
// It is deterministic: a rule fails every call from its making on, until its count is
// spent or its time is over. Chance belongs to whoever makes the rules.
//
// The caller's duties:
//
//  1. Check where the call is made, once for each, and take its error for the kernel's:
//     errors.Is finds the errno in it.
//  2. A new sort of call gets a constant and a line in calls.
package fault
