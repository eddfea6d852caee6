// Package flood makes what an attacker would: floods of handshakes, of garbage, of joins
// and of routes, at a stated rate and from many addresses. It serves one benchmark, and
// works in the namespaces of a lab only: Check refuses every other target.
//
//	re6st lab flood                       the benchmark (cmd/lab)
//	    |  in the attacker's namespace
//	    '-> re6st lab attack KIND ... --> Run -----> the node or registry attacked
//	                                      Result: sent, answered, CPU seconds of this process
//
//	garbage    datagrams that begin as a handshake does, without the network's MAC
//	handshake  an outsider with the CA's certificate, who owns his addresses: the worst
//	           that who is no member can do. Requests, and with the cookies that come
//	           back whole XX handshakes whose certificate is another CA's
//	join       one more HTTPS call of a join after the other, each with a good signature
//	           and a token that nobody has
//	routes     a member that announces 10,000 prefixes over its sealed link, and changes
//	           the metric of each again and again
package flood
