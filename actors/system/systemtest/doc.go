// Package systemtest runs actors in tests: in a fixed order, in virtual time, on the test's goroutine.
//
//	test ── Tell, Advance ──> Harness ── Step ──> Queue ──> one mailbox at a time
//	     <── Take ── Collector <── Emit ──────── the actor under test
//	                     Clock (virtual) ── timers, backoff, quarantine
//
// Duties of the test:
//  1. Spawn under the Harness (it is a system.Parent), give the actor's Config a Collector's Emit.
//  2. Run after telling something; Advance to let time pass; Await for what a pump is to bring, for pumps
//     are real goroutines.
//  3. Leave the stop to the harness's cleanup; goleak in TestMain proves that nothing is left.
package systemtest
