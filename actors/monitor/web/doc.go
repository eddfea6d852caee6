// Package web is what HTTP on the loopback needs, of a node and of a lab: who may
// ask, what a browser may do with the answer, and streams of events.
//
//	browser, Prometheus, curl ──> 127.0.0.1 ──> Guard ──┬─> Stream  server-sent events
//	                                                    └─> the caller's own calls
//
// Whoever can connect to the loopback of the machine may look; nobody may change
// anything. A page of elsewhere in the same browser cannot: Guard takes GET and HEAD
// alone, and only where the Host is the loopback's, so that a name which somebody
// points at 127.0.0.1 (DNS rebinding) is refused; no answer allows another origin
// to read it, nor to put it into a frame.
//
// Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html
//
// The driver's duties:
//
//  1. Listen at an address that CheckAddress accepts.
//  2. Serve by Serve, which bounds the connections, and put Guard around all of it.
package web
