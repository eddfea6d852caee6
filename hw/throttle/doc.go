// Package throttle bounds what is told of things that happen again and again: events
// and log lines. Some of each source pass, the others are counted, and after a while the
// count is told: "… and 1,234 more". So a flood fills no disk, and hides nothing else.
//
//	told --> Take(source) --yes--> event, log line
//	              '--no: counted --HeldFor--> summary(count)
package throttle
