// Package clock is the only source of time and timers above the pure protocol machines.
//
//	           Clock
//	Now()  AfterFunc(d, f)
//	    /            \
//	 Real           Virtual
//	 the kernel's   stands still until Advance: tests and the simulator
//
// Everything that needs time takes a Clock, so that one test, or one simulation of thousands of
// nodes, can own time and move it by hand. Real's times carry Go's monotonic reading: differences
// between them are right even while NTP or PTP steps the wall clock.
//
// Wall is for certificates alone, whose dates are of the world: it says what time it is on a machine
// without a clock, or with one that jumps. Nothing that waits looks at it.
//
// Duties of the caller:
//  1. A function given to AfterFunc must only hand over (post a message, close a channel): Real runs it
//     on its own goroutine, Virtual on the goroutine that advances, so a blocking one stops time.
//  2. Stop does not wait for a function that already runs: tag what it hands over, and drop stale tags.
//  3. One goroutine at a time advances a Virtual.
package clock
