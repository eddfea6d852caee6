// Package rival runs the routing daemons of others, Debian's babeld and BIRD, on the
// topologies of the lab, so that one benchmark measures them and re6st side by side.
//
//	namespace n1                  namespace n2
//	+---------------------+       +---------------------+
//	| fd72:...::1/128 lo  |       | fd72:...::2/128 lo  |
//	| babeld or bird      |       | babeld or bird      |
//	|              to-n2 =|=======|= to-n1              |
//	+---------------------+ veth  +---------------------+
//
// Each node announces its one address, each edge of the topology is a veth of its own,
// and the kernel forwards. nft counts the Babel packets that each namespace sends, and
// drops what passes by an edge that is silenced.
//
// The caller's duties: Sweep the folder of killed runs, Open, Start, measure, and Close
// whatever happened. It needs root, and the daemon from Debian.
package rival
