// Package web is what HTTP on the loopback needs, of a node and of a lab: who may
// ask, what a browser may do with the answer, streams of events, and the live page.
//
//	browser, Prometheus, curl ──> 127.0.0.1 ──> Guard ──┬─> Page    /, /page/...: embedded files
//	                                                    ├─> Stream  server-sent events
//	                                                    └─> the caller's own calls
//
// Whoever can connect to the loopback of the machine may look; nobody may change
// anything. A page of elsewhere in the same browser cannot: Guard takes GET and HEAD
// alone, and only where the Host is the loopback's, so that a name which somebody
// points at 127.0.0.1 (DNS rebinding) is refused; no answer allows another origin
// to read it, nor to put it into a frame.
//
// The page is plain HTML, CSS and JavaScript under a Content-Security-Policy that
// lets it load from here only: it works on a machine without a network. It asks
// for JSON, of the calls in /v1/, and draws what comes.
//
// Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html
//
// The driver's duties:
//
//  1. Listen at an address that CheckAddress accepts.
//  2. Serve by Serve, which bounds the connections, and put Guard around all of it.
package web
