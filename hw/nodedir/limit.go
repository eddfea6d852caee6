package nodedir

import "re6st/protocols/limit"

// Limits are those of a node's files, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "file", Value: MaxFile, Unit: "bytes", Per: "file", Beyond: "not read", Test: "TestReadBounds"},
	}
}
