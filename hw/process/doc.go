// Package process runs child processes that end no later than their parent, and does for its own
// what a daemon owes its machine.
//
//	Spawner: one goroutine locked to one thread for its whole life
//	   |  enter namespace, fork, come home
//	   +--> child 1  (own process group, SIGKILL when the thread ends)
//	   `--> child 2
//
// Linux sends the signal of PR_SET_PDEATHSIG when the *thread* that forked ends, not
// the process, and Go ends threads as it likes. So all children are forked by one
// thread that ends only with Close, or with the process, however that dies. The same
// thread enters a network namespace for a child and leaves it after the fork.
//
// For the process itself there are Notify and WatchdogInterval, by which it speaks to the
// service manager (sd_notify(3)), and ReleaseImage, which makes it smaller once it has started.
//
// The caller's duties:
//
//  1. Stop children, or Close the Spawner, which kills those that are left.
//  2. Hand over files as Stdin, Stdout and Stderr; they may be closed after Start.
//  3. Wait on Done before reading Status.
package process
