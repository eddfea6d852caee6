// Package sim is `re6st sim`: a network of thousands of nodes in virtual time, in this
// process. protocols/simnet is the network; here are flags, processors and what is printed.
//
//	flags --> simnet.Config --> simnet.Network.Play --> Report --> text or JSON
//	                                   |
//	                    Each: shards on several processors
package sim
