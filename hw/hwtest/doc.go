// Package hwtest holds the doubles of the interfaces of hw, for the tests of the
// actors above it: each keeps in memory what the real one would give to the kernel,
// and fails when told to. What can run for real in a test's own namespace should.
//
//	Routes   netlink.Routes
package hwtest
