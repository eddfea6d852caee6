// Package hwtest has stand-ins for the hardware, for tests that must not depend
// on a kernel: a TUN made of channels, and an underlay in memory that loses,
// delays, cuts and has NATs.
//
//	test --Inject--> TUN --Read-->  plane --WriteBatch--> Conn --> Network --> Conn
//	test <--Out----- TUN <-Write--  plane <-ReadBatch---                 |
//	                                                        loss, delay, cut, NAT, tap
//
// Everything waits on channels, so it runs inside a testing/synctest bubble.
//
// The caller's duties:
//
//  1. Close each TUN and Conn, or give it to a data plane that does.
//  2. Read Out: it holds 1024 packets, then Write drops.
package hwtest
