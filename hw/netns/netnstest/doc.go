// Package netnstest makes network namespaces for tests.
//
//	NewGroup(t) --> netns.Group below one folder for all tests --> taken down with t
//
// What a test left that was killed the next one sweeps. The caller's duty: no process of its own
// is in the namespaces when the test ends, or it is killed there.
package netnstest
