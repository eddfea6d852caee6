// Package monitor shows a node to the outside: HTTP with JSON on two unix sockets
// in the node's folder (of one under /var/lib, in that of its name under /run) and, where the configuration wants it, on the loopback.
//
//	re6st status ──> re6st.sock     0600  GET and POST /v1/...          ─┐
//	others       ──> re6st-ro.sock  0660  the same without fault, reload, renew ─┤
//	                                                                     v
//	       Sources{Status, Peers, Tunnels, Routes, Claims, Vitals}: the last snapshots of the actors
//	       system.System: actors, events, faults to cause on purpose
//	       fault.Table: system calls to fail on purpose, where the node has one
//
//	GET  /v1/status /v1/peers /v1/tunnels /v1/routes /v1/claims /v1/actors /v1/version   one JSON object
//	GET  /v1/events[?follow=1]                                                JSON lines
//	POST /v1/ping         PingRequest                                         JSON lines
//	POST /v1/trace        TraceRequest                                        JSON lines
//	POST /v1/explain      ExplainRequest                                      one JSON object
//	GET  /v1/debug        what can be made to fail                            one JSON object
//	POST /v1/debug/fault  FaultRequest                                        one JSON object
//	POST /v1/debug/clear  ends the faults of system calls                     one JSON object
//	POST /v1/debug/block  BlockRequest                                        one JSON object
//	POST /v1/debug/clock  ClockRequest                                        one JSON object
//	POST /v1/reload       -                                                   one JSON object
//	POST /v1/renew        RenewRequest                                        one JSON object
//
// The loopback has an actor of its own (HTTPSpec; package web says who may ask). What
// fails there touches neither the sockets nor the node:
//
//	GET  /         the live page
//	GET  /v1/...   the calls above that answer one object
//	GET  /metrics  the text format of Prometheus, version 0.0.4: see metrics.go
//	GET  /events   server-sent events, each with the JSON of a line of /v1/events.
//	               At most MaxSubscribers readers; a slow one loses events, and is told
//	               how many; one that comes back goes on where it was (Last-Event-ID)
//
// Each answer carries "version": Schema. Within one version fields are only added.
// A refusal is an Error with its HTTP status.
//
// The sockets of a process that died are replaced; those of one that lives are
// refused, with its process id. That is told by a lock which the kernel drops
// with the process, not by what lies in the folder.
//
// The driver's duties:
//
//  1. Spawn Spec's actor, and HTTPSpec's where it is wanted; they take no messages, as
//     they read what others published.
//  2. The functions of Sources are called from several goroutines at once. They must
//     not block and what they return belongs to the monitor: read snapshots.
package monitor
