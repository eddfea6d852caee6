// Package names gives nodes names that people remember, by a file like hosts(5):
//
//	# node     name
//	5/16       gateway
//	00000000000000b2   drone-7
//	2001:db8:42:7::1   plc   # by its address
//
// A line has a node and its name, apart by blanks; from # on it is a comment. A
// node is its prefix, its id (16 hexadecimal digits) or one of its addresses. A
// name has letters, digits, '-', '_' and '.', begins with a letter or a digit, and
// is nothing that could be taken for a node. Neither stands in two lines.
//
// Names are for who looks at a node: they never travel, and are nobody's claim.
package names
