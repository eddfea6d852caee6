// Package system runs actors: one actor is one peer or resource that may fail on its own. It gives them
// typed references, supervision, pumps for their blocking IO, timers, snapshots and events, and is the only
// importer of protoactor, whose traps it defuses (a TestTrap… for each).
//
// An actor package writes a sealed message interface and a Handler, which drives a pure protocol machine:
//
//	pump (goroutine, blocking IO)                  other actors
//	  │ Offer / Deliver, credit                      │ Ref.Tell
//	  ▼                                              ▼
//	mailbox ──────────> Handler.Handle(ctx, m) ──> machine.Handle…(ctx.Now(), …)
//	  ▲                        │                        │
//	  └── Timer <── Rearm(machine.NextTimeout()) <──────┤
//	                           ▼                        ▼
//	             Publish (snapshot), Event        Drain(func(Event))
//
// The way of a fault:
//
//	Handle or Start returns an error ─> Fault{Op, Kind, Err}: as returned, else transient
//	a panic, there or in a pump ──────> Fault of kind bug
//	a pump returns an error ──────────> a message to its own incarnation: a second one is stale, and dropped
//	        │
//	        ▼  the actor is suspended, its queue waits; its pumps are cancelled, their closers closed
//	supervisor (the parent's mailbox): EventFaulted, RestartPolicy
//	        ├─ within the budget ─> first at once, then Base, 2 Base … Cap, ±20 % ─> restart:
//	        │                       pumps joined (WithTurn: or left), Handler.Stop, children stopped, a fresh Handler, Start,
//	        │                       EventRestarted, then the queue
//	        ├─ budget spent ─> Quarantine: closed, EventQuarantined, tried again after 1 min … 1 h
//	        │               ─> Escalate: the parent fails with this fault; a root actor ends the System
//	        │               ─> GiveUp: EventStopped
//	        └─ BadConfig ────> stopped and reported; with Escalate, escalated
//
// Duties of an actor:
//  1. Its message interface is sealed (an unexported marker method, //sumtype:decl); messages are immutable.
//  2. Start, Handle and Stop never block, and never start goroutines: a Pump does, and is joined.
//  3. Spec.New returns a new Handler; nothing of an incarnation outlives it but the mailbox, the last
//     snapshot, a pump WithTurn that hangs, and what belongs to the parent. Start spawns the children again and reconciles with the kernel.
//  4. Stop works after a Start that failed halfway.
//  5. Errors are returned, never panicked; no actor asks another and waits.
//
// A pump that hangs is told of (EventStuck, Record.Stuck) where it is to end, where a piece of its Work takes too
// long, and where its actor does not take what it Delivers; one that waits for others is not. One that leaves a queue
// (WithQueue) is replaced, with its incarnation.
//
// Stop or Poison: Poison queues behind the messages sent so far, Stop overtakes them and has them dropped.
// Children are always stopped. System.Stop poisons the root actors and waits until all have stopped and
// every pump has been joined; upstream's Shutdown stops nobody.
//
// What protoactor does, at the pinned version, and what stands here instead:
//
//	its registry's bucket index is negative on 32 bits: half of all names panic     flatten
//	OneForOne stops a child silently; the "exponential" backoff is linear,
//	uncapped, and overflows on 32 bits                                              supervisor, RestartPolicy
//	guardians crash the process on Escalate and AllForOne                           root
//	a Restart that comes after a Stop brings the actor back for good                guard
//	a parent forgets a child by name, also one spawned anew meanwhile               cell.gone
//	a panic in a goroutine, or in Stopping, is not contained                        Pump, shell.end
//	a message to who is gone starts a goroutine of a second                         New
//	messages are delivered to an actor that stops                                   guard
//	a message with GetMessages or GetAutoResponse is taken apart                    envelope
//	ReceiveTimeout and package scheduler race                                       Timer, hw/clock
//	Stash reverses, ReenterAfter outlives its incarnation                           not offered
//	a full Bounded mailbox makes its sender spin                                    Pump's credit, maxSuspended
//	RequestFuture invites actors to wait for each other                             not offered
package system
