// Package netns makes network namespaces, joins them with veth pairs and runs
// things in them: the ground on which the lab and the interoperation tests stand.
//
//	Group "4f2a1c"  /run/re6st-lab/4f2a1c/lock  held as long as the owner lives
//	  |
//	  +-- re6st-4f2a1c-router  -.  /run/netns/NAME, as `ip netns` has them
//	  +-- re6st-4f2a1c-n1       | veth
//	  `-- re6st-4f2a1c-n2      -'
//
// A namespace has a name, so that `ip netns exec` and `nsenter` find it, and so it
// outlives a process that is killed. Hence the Group: its folder holds a lock that
// the kernel drops when the owner dies, however it dies. Sweep takes down the groups
// whose lock is free: their processes, their namespaces, their folder, and nothing
// that no folder speaks of.
//
// The caller's duties:
//
//  1. Sweep the parent folder, then NewGroup in it, then Create namespaces.
//  2. Close the Group whatever happened: it kills what still runs inside.
//  3. Inside NS.Do start no goroutine that relies on the namespace: only the calling
//     thread is in it. Sockets opened there stay there, and may be used anywhere.
//
// It needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN).
package netns
