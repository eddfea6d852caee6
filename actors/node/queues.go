package node

// mostQueues is how many queues a node has at most unless it is told a number.
const mostQueues = 4

// queuesFor is how many queues the TUN gets, and how many sockets the port, on a machine with
// so many processors: each two have a reader each, which may keep a processor busy.
func queuesFor(processors int) int { return max(1, min(processors/2, mostQueues)) }
