// Package monitortest runs a node that is nothing but its monitor, with made-up
// peers, tunnels and routes: for golden tests of what the sockets answer and of the
// commands that show it.
//
//	Start(dir) ──> system.System (its clock stands still)
//	                 ├─ node      raises an event or two; takes faults
//	                 └─ monitor   serves the Sample
//
// The caller stops what it started.
package monitortest
