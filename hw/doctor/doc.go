// Package doctor examines a machine for what a node needs of it: the kernel's
// features, its settings, sockets, the clock, the underlay and the disk. Each lack
// comes with what it costs and with its cure.
//
//	Examine(Patient) ──> kernel    in a network namespace of its own, which ends with the examination
//	                 ├─> sockets   options that the packet path would like
//	                 ├─> settings  sysctls
//	                 ├─> clock     adjtimex(2)
//	                 ├─> underlay  default routes, interfaces, queues, timestamps
//	                 └─> folder    of the node: writable, room left
//	                        │
//	                        ▼
//	                 []Finding{Area, Name, Grade, Found, For, Cure}
//
// Nothing on the machine is changed, but that the kernel loads the modules which a
// node would have it load. What cannot be examined without a privilege says so.
//
// The caller's duties: add what only it knows (identity, registry, running node) as
// findings of its own, and show them all.
package doctor
