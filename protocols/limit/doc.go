// Package limit is how a package says what its limits are: each with its number, what
// becomes of what goes beyond, and the test that reaches it. `re6st limits` prints them,
// and a test of the house holds them to it.
package limit

// Limit is one number that bounds what others can cost a node.
type Limit struct {
	Name   string  `json:"name"`   // what is bounded, unique in its package
	Value  float64 `json:"value"`  // at most
	Unit   string  `json:"unit"`   // of Value: sessions, bytes, packets/s, s
	Per    string  `json:"per"`    // for whom it holds: node, neighbor, source, ingress, ...
	Beyond string  `json:"beyond"` // what becomes of what is too much
	Test   string  `json:"test"`   // the test of the package that reaches it
}
