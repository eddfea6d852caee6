// Package openvpn runs OpenVPN (2.6) as a child process that carries the Ethernet frames
// of a TAP, in TLS over UDP or TCP, to one peer. Its certificate and key are the node's,
// its CA the network's.
//
//	        Spec ----> Run --- standard input: the configuration, keys and all ----> openvpn
//	                    |                                                             |   |
//	report(Event) <-----+--- management (unix socket): >STATE, >CLIENT ---------------+  TAP
//	Spec.Admit    <-----|                                                                 |
//	                    '--- standard output: its log                        the kernel's routing
//
// One end waits for the other, in the server's role of TLS; the other dials. Both take
// only the certificate with the common name of the peer, and the waiting end asks Admit
// about it, with its serial number; the one that dials has the CA's revocation list of when
// it was started. Keys are on no disk and in no argument list. The child
// runs no program, sets no address and no route, and has AEADs only: AES-256-GCM or
// ChaCha20-Poly1305.
//
// Each link has a child and a TAP of its own, though one server could serve many: so a child
// that fails harms one link, a frame reaches one peer, and no peer can take another's
// place on a shared Ethernet. The waiting end is of OpenVPN's server mode all the same, for
// that takes connections side by side: in its other mode one stranger who connects by TCP
// and is silent keeps the peer out.
//
// The caller's duties:
//
//  1. Make the TAP (hw/ktunnel's AddTAP), persistent, with MTU bytes, before Run; it
//     stays when the child ends.
//  2. Call Run again, after a while, when it returned; cancel its context to have the
//     child end. Nothing is left then: no process, no goroutine, no file.
//  3. End the child that dials, and run another, when a newer list names the peer; and either
//     when who is connected is revoked.
//  4. Have something above notice that the peer is silent: pings here take IdleTime.
package openvpn
