// Command re6st is the one binary of the mesh: registry, node, lab and the
// commands that look at them. One file per subcommand; each turns its flags
// into a configuration and hands it to the actors, and holds no logic.
//
//	re6st registry | join | node                      run a network
//	re6st status | peers | tunnels | trace | ...      look at a node, over its socket
//	re6st lab                                         a whole network on this machine
//	re6st sim                                         thousands of nodes in virtual time
//
// Exit codes: 0 ok, 1 failed, 2 usage, 3 not running, 4 degraded, 5 denied.
package main
